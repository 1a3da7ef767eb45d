# Two commands on a fresh machine: `make demo` and `make test`. Everything else builds on the same .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q
# A file stays in one process, where its tests share their fixtures.
TESTS := $(PYTEST) -n auto --maxprocesses 4 --dist loadfile
PIP_INSTALL = PIP_CONSTRAINT=$(VENV)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Which torch: pinned (that of constraints.txt), installed (the one that PYTHON has), or a version. It holds until
# another is asked for, which makes .venv again.
BEFORE := $(shell cat $(VENV)/torch-choice 2>/dev/null)
TORCH ?= $(or $(BEFORE),pinned)
# Where packages come from: a folder that holds wheels, where there is one (`make wheels`), or pip's registry.
WHEELS ?= $(if $(wildcard wheels/*.whl),wheels)

.DEFAULT_GOAL := help
.PHONY: help demo exam test coverage check format bench bench-search slow many kernels gpu wheels clean FORCE

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt tools/environment.py $(if $(filter-out $(TORCH),$(BEFORE)),FORCE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "joulesearch needs Python 3.11 or newer; type: make PYTHON=python3.12 demo"; exit 2; }
	@$(PYTHON) tools/environment.py $(VENV) --torch=$(TORCH) --wheels=$(WHEELS)
	@touch $@

demo: $(STAMP)  ## search, train to target, meter, rank and report: about two minutes
	$(BIN)/python -m search +study=demo

# What was typed as `make exam exam.minutes=10 +study=demo`: to make these are variables. ARGS="..." works too.
TYPED = $(foreach name,$(filter-out ARGS PYTHON VENV BIN STAMP,$(.VARIABLES)),$(if $(filter command,$(firstword $(origin $(name)))),'$(name)=$(value $(name))'))

exam: $(STAMP)  ## for a GPU that is rented: its meter, its kernels, and a study on it; exam.plan=true says how long
	@$(BIN)/python -m search.exam $(ARGS) $(TYPED)

test: check  ## lint, types, layering and tests: at most six CPU-minutes in all
	$(TESTS)

coverage: $(STAMP)  ## the same tests, and which lines they run
	$(TESTS) --cov --cov-report=term:skip-covered

check: $(STAMP)  ## lint, format, types and layering only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP)  ## put the code in its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## benchmarks: they print ratios
	$(PYTEST) -s -m bench tests/bench

bench-search: $(STAMP)  ## ways to search, compared on replayed studies
	PYTHONPATH=tests/bench $(BIN)/python -m replay.compare --errors

slow: $(STAMP)  ## the tests that `make test` leaves out, and property tests with more examples; JOULESEARCH_TINYSHAKESPEARE=FILE adds nanoGPT's own text
	$(PYTEST) -m "slow and not many" -n auto --maxprocesses 4 --dist worksteal
	$(TESTS) -m "hypothesis and not slow and not bench" --hypothesis-profile=thorough

many: $(STAMP)  ## what takes longest, such as clusters on one study: installs Ray; JOULESEARCH_KILLS=100 adds kills
	$(PIP_INSTALL) -e '.[ray]'
	$(PYTEST) -m many --hypothesis-profile=thorough

kernels: $(STAMP)  ## tests of Liger's kernels without a GPU: installs them and triton (200 MB), half a minute
	$(PIP_INSTALL) -e '.[kernels]'
	TRITON_INTERPRET=1 $(PYTEST) tests/unit/model/test_triton_interpreter.py

gpu: $(STAMP)  ## tests that need an NVIDIA GPU
	$(PYTEST) -m gpu

wheels:  ## wheels/, from which the above install without a network; torch is yours to add
	$(PYTHON) tools/wheels.py wheels

clean:  ## remove the environment and the caches, not the reports
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache
