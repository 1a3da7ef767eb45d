"""`launcher=slurm`: check what can be checked here, submit the jobs, say how to follow and to cancel them.

Nothing is scheduled by us: SLURM starts, stops and requeues the jobs, and the studies that they run share
their trials by the storage. submitit is imported here and by nothing that does not need it.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.config.checks import check_study
from search.config.schema import StudyConfig
from search.console.plural import counted
from search.errors import UserError
from search.files.paths import folder_name, reports_dir, shown, study_dir
from search.files.prior import read_prior
from search.files.whole_file import check_folder, naming
from search.launch.job import StudyJob
from search.launch.overrides import without_storage
from search.launch.resources import check_launcher, cores_of_job, submitit_parameters
from search.own_packages import python_like_this
from search.record.target import target_of
from search.space.reach import check_reach, most_processes
from search.study import storage
from search.study.first import first_recipes
from search.study.problem import load_problem
from search.study.progress import Watcher
from search.study.secrets import scrub, without_secret

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

_FOLDER = ".slurm"  # no study's: its folder never begins with a dot
_TYPE_STORAGE = (
    "type storage=postgresql+psycopg://USER@HOST/DATABASE, with the password in ~/.pgpass (docs/scaling.md)"
)


def submit_study(config: StudyConfig, typed: Sequence[str], watcher: Watcher) -> int:
    """Submit the jobs; returns the exit status. `typed`: the options and overrides that composed `config`.

    Raises what `errors.ONE_LINE` lists, and then nothing was submitted.
    """
    launcher = config.launcher
    check_launcher(launcher)
    space = check_study(config, cores_of_job(launcher))
    check_server(config.storage)
    _check_programs(launcher.slurm_cluster)
    base = reports_dir(config.reports) / _FOLDER / folder_name(config.study.name)
    check_folder(base)
    read_prior(config.study.prior, study_dir(config.study.name, config.reports))
    first_recipes(config)
    # Optuna's tables are made here: several jobs that made them at once would be in each other's way.
    storage.open_storage(config.storage, base).engine.dispose()
    problem = load_problem(config, watcher.loading)  # jobs find it in the cache; their nodes may be offline
    check_reach(space, problem.corpus)
    target_loss = target_of(config.target, config.target_margin, ())
    watcher.problem(problem.corpus, problem.ngram, target_loss, problem.validation_tokens)
    folder = _make_folder(base)
    job = StudyJob(without_storage(typed), Path.cwd(), folder, launcher.slurm_grace_s, config.storage)
    try:
        jobs = submit_jobs(config, submitit_parameters(config, most_processes(space)), job, folder)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _say(config, jobs, folder, watcher.note)
    return 0


def check_server(url: str) -> None:
    """Raises UserError where jobs on several machines cannot share the storage."""
    if url == "auto":
        raise UserError(
            "launcher=slurm needs a storage that every node reaches, and storage=auto is a file of this "
            f"study's folder; {_TYPE_STORAGE}"
        )
    if storage.is_sqlite(url):
        raise UserError(
            f"launcher=slurm needs a database server, and storage={without_secret(url)} is a file, "
            f"which machines cannot share; {_TYPE_STORAGE}"
        )


def _check_programs(cluster: str) -> None:
    """Raises UserError where jobs cannot be submitted from here."""
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UserError(
            "launcher=slurm needs submitit, which is not installed; type: pip install 'joulesearch[slurm]'"
        ) from error
    missing = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if cluster == "slurm" and missing:
        raise UserError(
            f"launcher=slurm needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "on the path here; type it on a login node of the cluster, or launcher.slurm_cluster=local to "
            "run the jobs on this machine"
        )


def _make_folder(base: Path) -> Path:
    """A folder of this submission, for its owner alone: submitit keeps the storage's URL in it."""
    with naming(base, "written into"):
        base.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            try:
                (base / str(number)).mkdir(mode=0o700)
            except FileExistsError:
                continue
            return base / str(number)
    raise AssertionError("there is always another number")


def _executor(config: StudyConfig, folder: Path) -> AutoExecutor:
    from submitit import AutoExecutor

    command, path = python_like_this("search")
    # What this process imports, and not what lies in the folder that the command was typed in.
    python = shlex.join(["env", *(f"{name}={value}" for name, value in path.items()), command[0], "-P"])
    requeues = config.launcher.slurm_requeues
    return AutoExecutor(
        folder,
        config.launcher.slurm_cluster,
        slurm_max_num_timeout=requeues,
        local_max_num_timeout=requeues,
        slurm_python=python,
        local_python=python,
    )


def submit_jobs(
    config: StudyConfig, parameters: dict[str, Any], job: StudyJob, folder: Path
) -> list[Job[int]]:
    """Raises UserError where submitit does not know a parameter, or SLURM refuses the jobs."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = _executor(config, folder)
    try:
        executor.update_parameters(**parameters)
    except (NameError, ValueError, TypeError, AssertionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"launcher.slurm_parameters cannot be used: {said[:400]}") from error
    try:
        with _out_of_environment(config.storage), executor.batch():  # one array of jobs
            return [executor.submit(job) for _ in range(config.launcher.jobs)]
    except (FailedJobError, FailedSubmissionError) as error:
        said = scrub(" ".join(str(error).split()), config.storage)
        raise UserError(f"SLURM refused the jobs: {said[:400] or 'sbatch said nothing'}") from error


@contextmanager
def _out_of_environment(url: str) -> Iterator[None]:
    """While it lasts no variable holds the storage: sbatch hands its environment to SLURM, which keeps it."""
    held = {name: value for name, value in os.environ.items() if value == url}
    for name in held:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(held)


def _say(config: StudyConfig, jobs: Sequence[Job[int]], folder: Path, note: Callable[[str], None]) -> None:
    names = [job.job_id for job in jobs]
    where = "SLURM" if config.launcher.slurm_cluster == "slurm" else "this machine"
    first, last = names[0], names[-1]
    span = first if first == last else f"{first} to {last}"
    note(f"submitted {counted(len(names), 'job')} to {where}: {span}")
    note(f"logs and reports: {shown(folder)}{os.sep} (*_log.out, *_log.err, job-*)")
    if config.launcher.slurm_cluster == "slurm":
        whole = first.partition("_")[0]
        note(f"watch: squeue --jobs={whole}; cancel: scancel {whole}")
    else:
        note(f"watch: tail -f {shlex.quote(shown(folder))}/*_log.out; cancel: kill {' '.join(names)}")
    note("each job runs this command with launcher=none; typed so on any machine, it joins the study too")
