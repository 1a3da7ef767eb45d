"""What `--help`, `--hydra-help` and `--version` print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from search.config.command_line import config_dirs
from search.files.paths import config_dir, recipes_dir
from search.files.version import version

_HELP = """\
joulesearch: search how to train a nanoGPT with the least energy, ranked by joules to target loss.

  python -m search +study=NAME [key=value ...]        run a study, or continue it
  python -m search.train [key=value ...]              train one configuration, metered
  python -m search.train recipe=reports/NAME seed=7   the best of a study again; trial=N: any trial of it
  python -m search.train recipe=reports/NAME save=FOLDER        keep the trained model
  python -m search.sample FOLDER "To be, or"          what it writes after a prompt
  python -m search.report reports/NAME                draw a study's report again
  python -m search.space +study=NAME                  what may vary here, and what is left out
  python -m search.meter [--check]                    what can be measured on this machine
  python -m search.exam [+study=NAME]                 all of it on a rented GPU (docs/exam.md)

Studies (+study=NAME) and the other groups (group=option):

{groups}

Keys that people set most:

  study.name, study.seed        folder under reports/; the same seed gives the same study
  study.prior=[reports/OTHER]   studies by which the space was narrowed: their joules count as this one's, and
                                their trials teach the sampler
  study.first=[RECIPE]          recipes to try first: names of conf/recipes/, report folders, files
  study.on_change=allow         go on with a study whose baseline was trained by other code; marks the runs
  target_loss                   validation loss to reach, nats per token; auto: what the baseline ends at
  target_metric=accuracy        in place of the loss: target_accuracy=0.25, the share of tokens predicted
  budget.n_trials               trials of the study, failed ones included
  budget.study_energy_j         joules after which the study ends; budget.study_time_s: seconds
  budget.uses                   how often the recipe will be trained: the search ends where more does not pay
  device.slots=2                trials at once on a CPU, each on cores of its own (meter=cpu_time)
  devices=[cuda:0,cuda:1]       trials at once, one on each GPU; all: on every visible one
  launcher=ray                  trials at once, one on each GPU of a Ray cluster
  data=text data.path=FILE      learn any UTF-8 text
  meter=cpu_time                estimated instead of auto; python -m search --cfg job shows every key
  meter.also=[roofline]         further meters, read beside the one that ranks
  reports=FOLDER                where studies are written, instead of reports/
  storage=URL                   auto: SQLite in the report folder; postgresql+psycopg://...: several machines
  launcher=slurm launcher.jobs=4     jobs of a SLURM cluster run the study (docs/scaling.md)

Options: --config-dir FOLDER for studies of your own; --cfg job [--resolve] shows the configuration and runs
nothing; -m takes several values for a key, one study a value:

  python -m search +study=demo -m study.seed=1,2 'study.name=demo-${{study.seed}}'

Overrides are Hydra's (--hydra-help). Exit status: 0 done, 1 no result, 2 a mistake to put right, 130, 141 and
143 stopped.
"""

_HYDRA_HELP = """\
Hydra composes the configuration (https://hydra.cc). What of it works here:

  key=value                     override a key; +key=value adds one, ~key takes one away
  group=option                  take another option of a group
  --config-dir, -cd FOLDER      a folder with groups of your own, such as FOLDER/study/mine.yaml
  --cfg, -c job|hydra|all       print the composed configuration; --package, -p KEY only that part,
                                --resolve with what ${...} stands for
  --info, -i WHAT               how it was composed: defaults, defaults-tree, searchpath, plugins, config, all
  --multirun, -m                a study for each combination of values given with commas
  --shell-completion, -sc install=bash|fish|zsh

Its launchers, sweepers and output folders (hydra.*, hydra/*) are fixed: -m runs one study after another, and
reports=FOLDER says where studies are written.
"""


def answer(arguments: Sequence[str]) -> str | None:
    """What was asked for instead of work, of `checked` arguments; None where work was."""
    if "--help" in arguments:
        return _HELP.format(groups="\n".join(_groups([config_dir(), *config_dirs(arguments)])))
    if "--hydra-help" in arguments:
        return _HYDRA_HELP
    return f"joulesearch {version()}\n" if "--version" in arguments else None


def _groups(folders: Iterable[Path]) -> list[str]:
    """A line a group, with its options."""
    options: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.glob("*/*.yaml"):
            options.setdefault(path.parent.name, set()).add(path.stem)
    recipes = options.pop(recipes_dir().name, set())
    lines = [f"  {group}: {', '.join(sorted(options[group]))}" for group in sorted(options)]
    return [*lines, f"  recipes, for recipe= and study.first=: {', '.join(sorted(recipes))}"]
