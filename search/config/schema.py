"""The schema of a study: every key that a person can set, its type and its default.

Composition (Hydra) fills `StudyConfig` from `conf/`; `checks.py` says in one line what is invalid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from model.config import (
    DeviceConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
    need_choice,
)
from model.data.config import DataConfig
from model.metric import LOSS, METRICS, Metric
from search.confirm.settings import ConfirmSettings
from search.meter.settings import MeterSection
from search.record.inference import InferencePlan
from search.record.ledger import CountedPhases
from search.record.limits import Limits
from search.record.objective import INFERENCE
from search.record.outcome import Role
from search.sampling.samplers import SamplerSection
from search.space.canonical import SEARCHABLE
from search.space.model import Space
from search.space.parse import parse_space

ONE_RUN = ("recipe", "trial", "output", "save", "to_the_end")
"""Keys that only `python -m search.train` reads."""


# May a study go on with other code than trained its baseline?
REFUSE, ALLOW = "refuse", "allow"


@dataclass
class StudySection:
    """`name` is also the folder under `reports/`. The same `seed` gives the same study. `prior`: folders of
    studies by which this one's space was narrowed, whose joules are added to what the search cost, and whose
    trials teach the sampler where they lie in this space. `first`: recipes (names of `conf/recipes/`, files,
    folders of studies) that are tried before anything else. `on_change`: whether it may go on with other
    code than trained its baseline, `refuse` or `allow`; it is asked anew each time.
    """

    name: str = MISSING
    seed: int = 0
    description: str = ""
    prior: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    on_change: str = REFUSE


@dataclass
class BudgetSection:
    """What the study and each run may spend; null is no limit. `n_trials` counts every trial, failed ones
    too, but not the runs that only look for the target or repeat the baseline.

    `study_time_s` are the seconds of all its runs together. `uses`: how often the recipe will be trained; the
    search ends where one more trial is expected to cost more than it saves over so many runs.

    `hang_s`: a worker that says nothing for so long is replaced, and its trial is CRASHED. `lease_s`: where
    nothing is heard for so long of a process on another machine, its trial is tried again. `rival_margin`: a
    run is ended as dominated only once it has spent this share more than a trial that was measured once (0.1:
    a tenth); auto: what the luck of a seed moves, by the noise that the study has seen. `forecast`: a run is
    ended too where the forecast of its loss leaves it less than this chance to matter (0.05: one in 20);
    null: never. `audit`: the share of such runs that go on, to see how often the forecast is wrong.

    `replicates`: how often the recipes that lead a search run, each time with another seed, since the
    cheapest of many single runs is a lucky one; 1: never again. `replicates_share`: such runs begin only
    while they come to no more than this share of the joules of all trials.
    """

    n_trials: int = 20
    study_energy_j: float | None = None
    study_time_s: float | None = None
    uses: float | None = None
    run_energy_j: float | None = None
    run_time_s: float | None = None
    run_tokens: int | None = None
    hang_s: float = 600.0
    lease_s: float = 60.0
    rival_margin: float | int | str = "auto"
    forecast: float | None = 0.05
    audit: float = 0.1
    replicates: int = 2
    replicates_share: float = 0.1


@dataclass
class DeviceSection:
    """`id`: a CUDA index or a UUID, null for the first, or for the first `train.processes`. `threads`: of
    torch on a CPU, in each process; one makes runs repeat exactly. `slots`: how many trials of a search a CPU
    trains at once, each on `threads` cores of its own for every process; which trials follow then depends on
    which ends first.

    `power_limit_w` and `sm_clock_mhz`: the power limit in watts, and the one clock in MHz, that the metered
    GPUs are held to while a run goes on (NVML, which must permit it); null leaves them as they are found.

    `wait`: wait for a device that another study holds; false fails at once. `temperature_band_c`: [low, high]
    in degrees Celsius that every run starts from (cooled by waiting, warmed by work), null for none;
    `band_limit_s`: how long to try before a run starts outside it, flagged.
    """

    name: str = "auto"
    id: str | None = None
    threads: int = 1
    slots: int = 1
    power_limit_w: float | None = None
    sm_clock_mhz: int | None = None
    wait: bool = True
    temperature_band_c: list[float] | None = None
    band_limit_s: float = 300.0


@dataclass
class ObjectiveSection:
    names: list[str] = field(default_factory=lambda: ["energy_to_target_j", "time_to_target_s"])


@dataclass
class InferenceSection:
    """Generating text with the trained model, to see what a token takes. `measure`: of every run that reaches
    the target; an objective of it, and `confirm.inference` for the runs of the confirmation, ask for it too.

    It is done at a batch of 1, and at the largest of `batch_sizes` that fits the device's memory. Each text
    has a prompt of `prompt_tokens`, to which `tokens` are added; beyond `model.block_size` together, the
    window slides and is computed again for each token. The generation is repeated for `window_s` seconds, or
    for 100 of the meter's update periods where that is longer, but for no longer than `limit_s`.
    """

    measure: bool = False
    batch_sizes: list[int] = field(default_factory=lambda: [1, 16])
    prompt_tokens: int = 16
    tokens: int = 48
    window_s: float = 1.0
    limit_s: float = 30.0

    def plan(self) -> InferencePlan:
        return InferencePlan(
            tuple(self.batch_sizes), self.prompt_tokens, self.tokens, self.window_s, self.limit_s
        )


@dataclass
class NoiseSection:
    """How often the baseline runs, so that a study can say how far two runs of one configuration differ:
    `runs` times at least (1: not measured), and up to `max_runs` while one more run may differ by over
    `enough` (0.1: a tenth) and the best trial is not clear of that. These runs come on top of `n_trials`.
    """

    runs: int = 2
    max_runs: int = 4
    enough: float = 0.1


# How a study is started.
LAUNCHERS = NO_LAUNCHER, RAY, SLURM = "none", "ray", "slurm"


@dataclass
class LauncherSection:
    """`name`: `none` runs the study here, with workers on this machine; `ray` has one worker on each GPU of
    a Ray cluster; `slurm` submits `jobs` jobs to a SLURM cluster, each of which joins the study by its
    storage, as this command does on its node with `launcher=none`.

    `ray_address`: HOST:PORT of the Ray cluster's head, auto for the cluster that this machine is part of.
    `ray_slots`: how many trials it trains at once, null for one on each GPU.

    Of each job: `slurm_partition` and `slurm_account`, null for the cluster's own; `slurm_gpus`, null for as
    many as a run trains on (none with `device=cpu`), or `slurm_gres` in its place, such as `gpu:a100:1`;
    `slurm_cpus`, null for one a thread that trains and one more; `slurm_memory_gb`, null for the cluster's
    default; `slurm_minutes`, its time limit. `slurm_grace_s`: so many seconds before that limit, or when it
    is preempted, the job is told; it records what its run has spent and is requeued, after a time limit at
    most `slurm_requeues` times. `slurm_setup`: lines of shell before it starts. `slurm_parameters`: anything
    else of submitit's, such as `{qos: high}`.

    `slurm_cluster`: `slurm`, or `local` for processes of this machine in place of jobs, to try it out.
    """

    name: str = NO_LAUNCHER
    ray_address: str = "auto"
    ray_slots: int | None = None
    jobs: int = 1
    slurm_cluster: str = "slurm"
    slurm_partition: str | None = None
    slurm_account: str | None = None
    slurm_gpus: int | None = None
    slurm_gres: str | None = None
    slurm_cpus: int | None = None
    slurm_memory_gb: float | None = None
    slurm_minutes: int = 240
    slurm_grace_s: int = 120
    slurm_requeues: int = 10
    slurm_setup: list[str] = field(default_factory=list)
    slurm_parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class StudyConfig:
    """Everything that a person can set. `model`, `optimizer`, `schedule` and `train` are the baseline;
    `space` says what may vary; `reports` is the folder that studies are written to, null for the repository's
    own.

    `target_metric`: `loss`, reached by `target_loss` in nats per token, or `accuracy`, reached by
    `target_accuracy`: the share of tokens that the model's most likely choice predicts. A target may be
    `auto`: what the baseline ends at, and `target_margin` worse.

    `devices`: `auto` for the one that `device` says, `cpu`, `all` for every visible GPU, or a list such as
    [cuda:0, cuda:1] (indices or UUIDs): so many trials at once, one on each.

    Those of `ONE_RUN`: `recipe` is a recipe's file or a study's folder, `trial` a trial of that study,
    `output` a file that the record is added to, `save` a folder for the trained model; `to_the_end` trains to
    the last step and evaluates once, there, as a confirmed recipe is trained.
    """

    study: StudySection = field(default_factory=StudySection)
    target_metric: str = LOSS
    target_loss: float | int | str = 1.905
    target_accuracy: float | int | str | None = None
    target_margin: float = 0.01
    budget: BudgetSection = field(default_factory=BudgetSection)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 1337
    space: dict[str, Any] = field(default_factory=dict)
    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    sampler: SamplerSection = field(default_factory=SamplerSection)
    inference: InferenceSection = field(default_factory=InferenceSection)
    noise: NoiseSection = field(default_factory=NoiseSection)
    confirm: ConfirmSettings = field(default_factory=ConfirmSettings)
    meter: MeterSection = field(default_factory=MeterSection)
    device: DeviceSection = field(default_factory=DeviceSection)
    devices: Any = "auto"
    launcher: LauncherSection = field(default_factory=LauncherSection)
    reports: str | None = None
    storage: str = "auto"
    recipe: str | None = None
    trial: int | None = None
    output: str | None = None
    to_the_end: bool | None = None
    save: str | None = None

    def run_values(self) -> dict[str, Any]:
        """The baseline's RunConfig as nested plain values."""
        parts = {part: asdict(getattr(self, part)) for part in (*SEARCHABLE, "evaluation")}
        parts["device"] = {item.name: parts["device"][item.name] for item in fields(DeviceConfig)}
        return parts | {"seed": self.seed, "target_metric": self.target_metric}

    def run_config(self) -> RunConfig:
        return RunConfig.from_mapping(self.run_values())

    @property
    def holds_gpus(self) -> bool:
        """Whether some run is to set the power limit or the clock of its GPUs."""
        varied = any(key.partition(".")[0] == "device" for key in self.space)
        return varied or self.run_config().device.holds

    @property
    def metric(self) -> Metric:
        """Raises ConfigError where there is no such metric."""
        need_choice("target_metric", self.target_metric, METRICS)
        return METRICS[self.target_metric]

    @property
    def target(self) -> float | str:
        """What is to be reached, as it is minimised (`model.metric`): a loss or an error rate, or `auto`."""
        given = self.target_accuracy if self.metric.is_error_rate else self.target_loss
        assert given is not None  # `check_run` says so in a line
        return given if isinstance(given, str) else self.metric.shown(given)

    def limits(self) -> Limits:
        return Limits(self.budget.run_energy_j, self.budget.run_time_s, self.budget.run_tokens)

    def inference_plan(self, role: Role) -> InferencePlan | None:
        """What the trained model of such a run is to generate; None for nothing."""
        of_all = self.inference.measure or INFERENCE in self.objective.names
        asked = of_all or (self.confirm.inference and role is Role.CONFIRM)
        return self.inference.plan() if asked else None

    def parsed_space(self) -> Space:
        return parse_space(self.space, self.run_values())

    @property
    def counted_phases(self) -> CountedPhases:
        return CountedPhases(self.meter.counted_phases)
