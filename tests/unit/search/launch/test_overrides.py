"""What a job types: the command that submitted it, without the launcher and without a password."""

from hydra.core.override_parser.overrides_parser import OverridesParser

from search.config.command_line import checked
from search.launch.overrides import VARIABLE, job_arguments, without_storage

TYPED = (
    "--config-dir=mystudies",
    "+study=mine",
    "launcher=slurm",
    "launcher.jobs=4",
    "+launcher.slurm_parameters.qos=high",
    "storage=postgresql+psycopg://me:hunter2@host/db",
    "reports=elsewhere",
    "study.name=launcher",
)


def test_a_job_types_the_same_command_with_the_launcher_off() -> None:
    assert job_arguments(TYPED, "/shared/job-7") == [
        "--config-dir=mystudies",
        "+study=mine",
        "study.name=launcher",
        "launcher=none",
        f"storage=${{oc.env:{VARIABLE}}}",
        "reports=/shared/job-7",
    ]


def test_the_storage_is_in_nothing_that_is_kept() -> None:
    assert not any("hunter2" in one for one in without_storage(TYPED))
    assert without_storage(TYPED) == tuple(one for one in TYPED if not one.startswith("storage="))


def test_the_command_line_takes_what_a_job_types() -> None:
    arguments = checked(job_arguments(TYPED, "/shared/job-7"))
    OverridesParser.create().parse_overrides([one for one in arguments if not one.startswith("--")])
