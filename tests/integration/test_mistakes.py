"""A person's mistake costs one line that says what to type, exit status 2, and leaves nothing behind."""

import shutil
import sys
from pathlib import Path

import pytest
from conftest import CONF, run, run_here

from search.files.paths import root, study_dir

MISTAKES = {
    "no study": ([], "+study=demo"),
    "a misspelt study": (["+study=dmeo"], "type: +study=demo"),
    "a study without its plus": (["study=demo"], "type: python -m search +study=demo"),
    "an unknown key": (["+study=demo", "optimzer.lr=1"], "did you mean optimizer.lr?"),
    "an unknown added key": (["+study=demo", "+model.n_layers=2"], "did you mean model.n_layer?"),
    "a prior study that is none": (["+study=demo", "study.prior=[conf]"], "not the report folder of a study"),
    "a first recipe that is none": (["+study=demo", "study.first=[nowhere]"], "recipe=nowhere is not there"),
    "a wrong type": (["+study=demo", "budget.n_trials=many"], "budget.n_trials must be a whole number"),
    "an impossible value": (["+study=demo", "model.n_layer=0"], "model.n_layer must be 1 or more"),
    "a width that heads do not divide": (["+study=demo", "model.n_embd=130"], "multiple of model.n_head"),
    "an empty range": (["+study=demo", "space.optimizer.lr.low=1"], "is above high"),
    "a space over a path that does not exist": (
        ["+study=demo", "+space.model.depth={type: int, low: 1, high: 2}"],
        "there is no model.depth",
    ),
    "a range that holds no multiple": (
        ["+study=demo", "space.model.n_embd.low=97", "space.model.n_embd.high=100"],
        "widen low..high",
    ),
    "an unknown group option": (["+study=demo", "meter=watts"], "nvml"),
    "no text": (["+study=demo", "data=text"], "type data.path=FILE"),
    "a text that is not there": (["+study=demo", "data=text", "data.path=/no/such.txt"], "/no/such.txt"),
    "more validation than there is": (["+study=demo", "evaluation.tokens=99999999"], "evaluation.tokens"),
    "windows that cut records": (["+study=demo", "data=sparse_parity"], "type evaluation.context=23"),
    "an option that does not exist": (["+study=demo", "--chek"], "there is no option --chek"),
    "a launcher": (["+study=demo", "hydra/launcher=joblib"], "one after another"),
    "a sweeper": (["+study=demo", "hydra/sweeper=foo"], "hydra/sweeper is a setting of Hydra's"),
    "a folder of Hydra's": (["+study=demo", "hydra.run.dir=/tmp/x"], "type reports=FOLDER"),
    "an option without its other": (["+study=demo", "--resolve"], "type: --cfg job --resolve"),
    "completion of nothing": (["--shell-completion"], "install=bash"),
    "an option without its value": (["+study=demo", "--cfg"], "--cfg takes one of job, hydra, all"),
    "a part that there is not": (["+study=demo", "--cfg", "job", "--package", "nope"], "'nope' not found"),
    "a text for a list": (["+study=demo", "meter.also=roofline"], "type meter.also=[roofline]"),
    "a text in the home folder": (["+study=demo", "data=text", "data.path=~/no such.txt"], "no such.txt"),
    "a list of values for a space": (["+study=demo", "space.model.n_layer=[1,2]"], "choices: [1,2]}"),
    "the instrument in a space": (
        ["+study=demo", "+space.evaluation.interval={type: int, low: 1, high: 9}"],
        "evaluation is the instrument",
    ),
    "a study for a GPU that is not there": (["+study=fineweb_124m"], "torch sees no GPU here"),
    "a storage that is no URL": (["+study=demo", "storage=nonsense"], "sqlite:///"),
    "a name that is no name": (["+study=demo", "study.name=' '"], "study.name"),
    "train's key for a study": (["+study=demo", "recipe=x.yaml"], "search.train"),
    "a trial for a study": (["+study=demo", "trial=3"], "trial= belongs to python -m search.train"),
    "broken syntax": (["+study=demo", "model.n_layer=[1"], "the value of model.n_layer cannot be read"),
    "a name that needs quotes": (
        ["+study=demo", "study.name=<b>(1)"],
        """quote it twice: 'study.name="..."'""",
    ),
    "a variable that is not set": (
        ["+study=demo", "storage=${oc.env:JOULESEARCH_NO_SUCH}"],
        "storage takes the environment variable JOULESEARCH_NO_SUCH, which is not set",
    ),
    "jobs that cannot share a storage": (
        ["+study=demo", "launcher=slurm", "launcher.slurm_parameters.qos=high"],
        "launcher=slurm needs a storage that every node reaches",
    ),
}


def visible() -> set[Path]:
    """What lies in the repository and in reports/, caches aside."""
    return {path for folder in (root(), root() / "reports") for path in folder.glob("[!.]*")}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_one_line_and_creates_nothing(name: str, study_name: str) -> None:
    arguments, said = MISTAKES[name]
    if "+study=demo" in arguments and not any("study.name" in argument for argument in arguments):
        arguments = [*arguments, f"study.name={study_name}"]
    before = visible()
    done = run_here([sys.executable, "-m", "search", *arguments], CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert not study_dir(study_name).exists()
    assert visible() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recipe=/no/such.yaml"], "is not there; expected a study's folder, a file, or"),
        (["model.n_layer=-1"], "model.n_layer"),
        (["output=/no/such/folder/x.jsonl"], "output="),
        (["launcher=slurm"], "launcher= belongs to python -m search"),
    ],
)
def test_train_says_mistakes_in_one_line_too(arguments: list[str], said: str) -> None:
    done = run_here([sys.executable, "-m", "search.train", *arguments])
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


def test_a_recipe_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "best.yaml"
    recipe.write_text("optimiser: {lr: 1}\n")
    done = run_here([sys.executable, "-m", "search.train", f"recipe={recipe}"])
    assert done.returncode == 2
    assert "unknown part 'optimiser'" in done.stderr


def test_a_password_in_a_storage_url_is_never_printed(study_name: str) -> None:
    done = run_here(
        [
            *(sys.executable, "-m", "search", "+study=demo", f"study.name={study_name}"),
            "storage=postgresql+psycopg://someone:hunter2@127.0.0.1:1/none",
        ]
    )
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr
    assert not study_dir(study_name).exists()


def test_help_names_the_product_and_the_studies() -> None:
    done = run_here([sys.executable, "-m", "search", "--help"])
    assert done.returncode == 0
    assert "joulesearch" in done.stdout
    assert "study: demo" in done.stdout
    assert "'study.name=demo-${study.seed}'" in done.stdout
    assert "__main__" not in done.stdout


def test_a_current_folder_that_was_removed_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    done = run(
        ["sh", "-c", f"mkdir {gone}; cd {gone}; rmdir {gone}; {sys.executable} -P -m search +study=demo"]
    )
    assert done.returncode == 2
    assert done.stderr == "joulesearch: the current folder was removed; type cd to one that is there\n"


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_what_needs_no_work_imports_none_of_it(asked: str) -> None:
    done = run([sys.executable, "-X", "importtime", "-m", "search", asked])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint(
        {"torch", "optuna", "plotly", "hydra", "sqlalchemy", "pandas", "rich", "numpy"}
    )


@pytest.mark.slow
def test_several_studies_run_wherever_m_stands(text_file: Path, study_name: str) -> None:
    command = [sys.executable, "-m", "search", "--config-dir", str(CONF), "+study=tiny", "data=text"]
    keys = [f"data.path={text_file}", "budget.n_trials=1", f"study.name={study_name}-${{study.seed}}"]
    try:
        done = run_here([*command, *keys, "-m", "study.seed=1,2"])
        assert done.returncode == 0, done.stderr
        assert all((study_dir(f"{study_name}-{seed}") / "report.html").is_file() for seed in (1, 2))
    finally:
        for seed in (1, 2):
            shutil.rmtree(study_dir(f"{study_name}-{seed}"), ignore_errors=True)


def test_cfg_job_prints_the_composed_configuration() -> None:
    done = run_here([sys.executable, "-m", "search", "+study=demo", "study.seed=3", "--cfg", "job"])
    assert done.returncode == 0
    assert "seed: 3" in done.stdout
    assert "target_loss: 2.57" in done.stdout
