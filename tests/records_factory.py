"""Plausible records without a training run: a power-law loss curve at constant power."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.metric import PER_NAT
from search.confirm.settings import ConfirmSettings
from search.confirm.state import NextRecipe, confirmation_state
from search.record.confirmation import DOCUMENTED
from search.record.crossing import CurvePoint, crossing_at_the_end, find_crossing
from search.record.ledger import CountedPhases, Ledger, Phase
from search.record.meter_info import Kind, MeterInfo, SecondMeter
from search.record.outcome import Outcome, Role
from search.record.record import Record

TARGET = 2.30
METER = MeterInfo(
    name="cpu_time",
    kind=Kind.ESTIMATED,
    chosen_because="no powercap domain and no NVIDIA GPU on this machine",
    settings={"watts_per_core": 6.0, "static_watts": 3.0},
)
NVML = MeterInfo(
    name="nvml",
    kind=Kind.MEASURED,
    chosen_because="the best meter that works here",
    settings={"devices": ["GPU-a3f1"], "update_period_s": 0.1, "gain_error": 0.05},
)
ROOFLINE = MeterInfo(
    name="roofline",
    kind=Kind.MODELLED,
    chosen_because="named in the configuration",
    settings={"devices": ["modelled"], "pj_per_flop": {"fp32": 20.0}, "pj_per_byte": 100.0},
)
PROVENANCE: dict[str, Any] = {
    "data": {
        "dataset": "shakespeare_char",
        "sha256": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "ngram_loss": 2.41,
        "ngram_order": 5,
        "validation_tokens": 111540,
        "tokenizer": "chars",
        "vocab_size": 65,
        "bytes_per_token": 1.0,
    },
    "code": {"version": "0.1.0", "git_commit": "4f1c9d2", "git_dirty": False},
    "hardware": {"cpu": "Xeon Platinum 8481C", "cores": 2, "memory_bytes": 16 * 2**30, "gpu": None},
    "software": {"python": "3.11.2", "torch": "2.11.0", "optuna": "5.0.0"},
}
BASELINE_PARAMS: dict[str, Any] = {
    "optimizer.name": "adamw",
    "optimizer.lr": 1e-3,
    "model.n_layer": 4,
    "model.norm": "layernorm",
    "train.batch_size": 12,
    "train.compile": False,
}


def make_curve(
    *, steps: int, final_loss: float, power_w: float, seconds: float, evaluations: int = 12
) -> tuple[CurvePoint, ...]:
    """A loss that falls from ln 65 to `final_loss` like a power of the step."""
    start = math.log(65)
    exponent = math.log(start / final_loss) / math.log(steps + 1) if steps else 0.0
    points = []
    for index in range(evaluations + 1):
        step = round(steps * index / evaluations)
        time_s = seconds * index / evaluations
        points.append(
            CurvePoint(
                step=step,
                tokens=step * 768,
                loss=start * (step + 1) ** -exponent,
                loss_stderr=0.004,
                energy_j=power_w * time_s,
                time_s=time_s,
            )
        )
    return tuple(points)


def make_config(params: dict[str, Any]) -> dict[str, Any]:
    """A composed configuration: the parameters under their paths, among settings that no space varies."""
    config: dict[str, Any] = {"model": {"n_embd": 128}, "optimizer": {"weight_decay": 0.1}}
    config["train"] = {"max_steps": 2000}
    for path, value in params.items():
        group, _, name = path.partition(".")
        config.setdefault(group, {})[name] = value
    return config


def _of_its_own(trial: int, config: dict[str, Any]) -> dict[str, Any]:
    """No two trials of a search train the same, but for replicates."""
    config["optimizer"].setdefault("grad_clip", 1.0 + trial / 1000)
    return config


def make_record(
    trial: int = 1,
    *,
    energy_j: float = 20.0,
    time_s: float = 8.0,
    outcome: Outcome = Outcome.REACHED,
    final_loss: float | None = None,
    steps: int = 400,
    compile_j: float = 0.0,
    params: dict[str, Any] | None = None,
    **fields: Any,
) -> Record:
    """A run that spent `energy_j` and `time_s` in counted phases. Further fields replace the record's."""
    if final_loss is None:
        final_loss = {Outcome.REACHED: TARGET - 0.01, Outcome.DIVERGED: 3.9}.get(outcome, TARGET + 0.15)
    curve = make_curve(steps=steps, final_loss=final_loss, power_w=energy_j / time_s, seconds=time_s)
    trained = outcome not in (Outcome.CRASHED, Outcome.UNMEASURED)
    reached = outcome is Outcome.REACHED
    ledger = make_ledger(energy_j=energy_j, time_s=time_s, compile_j=compile_j)
    record = Record(
        study="demo",
        trial=trial,
        run_id=f"run-{trial:04d}",
        role=Role.BASELINE if trial == 0 else Role.SEARCH,
        seed=1000 + trial,
        params=dict(BASELINE_PARAMS) if params is None else params,
        config=_of_its_own(trial, make_config(BASELINE_PARAMS if params is None else params)),
        outcome=outcome,
        reason="" if outcome is Outcome.REACHED else outcome.advice,
        target_loss=TARGET,
        loss_gap=final_loss - TARGET if trained else None,
        best_loss=final_loss if trained else None,
        steps=steps,
        tokens=steps * 768,
        parameters=804_096,
        meter=METER,
        counted_phases=CountedPhases.COMPILE_TRAIN,
        gross_energy_j=ledger.gross_energy_j,
        net_energy_j=ledger.gross_energy_j - 1.1 * ledger.gross_time_s,
        idle_power_w=1.1,
        ledger=ledger,
        counted_energy_j=energy_j if trained else None,
        counted_time_s=time_s,
        curve=curve if trained else (),
        crossing=find_crossing(curve, TARGET) if reached else None,
        values={"energy_to_target_j": energy_j, "time_to_target_s": time_s} if reached else {},
        spent={"energy_to_target_j": energy_j, "time_to_target_s": time_s} if trained else {},
        peak_memory_bytes=412 * 2**20,
        started_at=f"2026-03-01T10:{trial % 60:02d}:00+00:00",
        ended_at=f"2026-03-01T10:{trial % 60:02d}:40+00:00",
        provenance=PROVENANCE,
    )
    return dataclasses.replace(record, **fields)


def make_ledger(*, energy_j: float, time_s: float, compile_j: float = 0.0) -> Ledger:
    """Counted joules split into compile and train, and setup, eval and checkpoint beside them."""
    joules = {
        Phase.SETUP: 0.6,
        Phase.COMPILE: compile_j,
        Phase.TRAIN: energy_j - compile_j,
        Phase.EVAL: 0.2 * energy_j,
        Phase.CHECKPOINT: 0.1,
        Phase.INFERENCE: 0.0,
    }
    power_w = energy_j / time_s
    return Ledger(energy_j=joules, time_s={phase: joules[phase] / power_w for phase in Phase})


def unmeasured(trial: int, reason: str) -> Record:
    """A run whose meter could not be trusted: it has no energy at all."""
    return make_record(
        trial,
        outcome=Outcome.UNMEASURED,
        reason=reason,
        gross_energy_j=None,
        net_energy_j=None,
        ledger=None,
        counted_energy_j=None,
        counted_time_s=None,
    )


def make_study() -> list[Record]:
    """A baseline that was killed once, fourteen trials of every outcome, and one run of a confirmation."""

    def params(*values: Any, compiled: bool = False) -> dict[str, Any]:
        return dict(zip(BASELINE_PARAMS, (*values, compiled), strict=True))

    killed = make_record(
        0,
        energy_j=17.2,
        time_s=6.1,
        outcome=Outcome.CRASHED,
        steps=240,
        interrupted=True,
        run_id="run-0000-killed",
    )
    rows = [
        make_record(0, energy_j=58.1, time_s=19.6, steps=1650),
        make_record(
            1, energy_j=41.7, time_s=14.9, steps=900, params=params("adamw", 2e-3, 4, "layernorm", 16)
        ),
        make_record(
            2,
            energy_j=64.0,
            time_s=22.4,
            outcome=Outcome.OUT_OF_BUDGET,
            steps=2000,
            params=params("adamw", 1e-4, 6, "layernorm", 12),
        ),
        make_record(
            3,
            energy_j=6.3,
            time_s=2.4,
            outcome=Outcome.DIVERGED,
            steps=90,
            best_loss=3.9,
            loss_gap=1.6,
            params=params("adamw", 3e-2, 4, "rmsnorm", 12),
        ),
        make_record(4, energy_j=24.9, time_s=9.1, steps=610, params=params("muon", 1e-2, 4, "layernorm", 16)),
        make_record(
            5,
            energy_j=25.3,
            time_s=9.2,
            outcome=Outcome.DOMINATED,
            steps=420,
            params=params("adamw", 7e-4, 3, "rmsnorm", 24),
        ),
        make_record(6, energy_j=16.8, time_s=8.2, steps=430, params=params("muon", 2e-2, 3, "rmsnorm", 16)),
        make_record(7, energy_j=12.3, time_s=4.9, steps=300, params=params("muon", 3e-2, 2, "rmsnorm", 16)),
        make_record(
            8,
            outcome=Outcome.CRASHED,
            energy_j=1.4,
            time_s=0.7,
            steps=0,
            reason="RuntimeError: shape '[16, 64, 5, 25]' is invalid for input of size 131072",
            params=params("muon", 2e-2, 2, "rmsnorm", 16),
        ),
        unmeasured(9, "the counter did not move for 4.1 s of work"),
        make_record(
            10,
            energy_j=12.9,
            time_s=4.2,
            steps=280,
            compile_j=3.1,
            params=params("muon", 3e-2, 2, "rmsnorm", 24, compiled=True),
        ),
        make_record(
            11,
            energy_j=13.1,
            time_s=5.1,
            outcome=Outcome.DOMINATED,
            steps=260,
            params=params("muon", 1.2e-2, 2, "layernorm", 24),
        ),
        make_record(
            12,
            energy_j=15.9,
            time_s=3.6,
            steps=240,
            params=params("muon", 3.4e-2, 2, "rmsnorm", 32),
            flags=("foreign CPU load 0.31 cores",),
        ),
        make_record(
            13, energy_j=19.5, time_s=6.0, steps=350, params=params("muon", 1.7e-2, 3, "rmsnorm", 24)
        ),
        make_record(
            14, energy_j=14.6, time_s=5.6, steps=330, params=params("muon", 2.6e-2, 2, "layernorm", 16)
        ),
        make_record(
            15,
            energy_j=12.8,
            time_s=5.0,
            steps=310,
            params=params("muon", 3e-2, 2, "rmsnorm", 16),
            role=Role.FIT,
        ),
    ]
    return [killed, *rows]


def looking_up(record: Record, setting: str = "lookup_table", value: bool = True) -> Record:
    """The record with a lookup-like setting of its model, as its space would have varied it."""
    chosen = ("bigram" if value else "none") if setting == "lookup_table" else value
    params = dict(record.params) | {f"model.{setting}": chosen}
    return dataclasses.replace(record, params=params, config=_of_its_own(record.trial, make_config(params)))


def make_lookup_study() -> list[Record]:
    """`make_study` in a space with a bigram table, and three trials more that look up: 17 is the cheapest, 16
    is on the front too, 18 is dominated. Of the front without them 12 is on the front with them."""
    trials = [looking_up(record, value=False) for record in make_study()]
    rows = ((16, 5.2, 3.8), (17, 4.4, 4.1), (18, 9.1, 5.2))
    tables = [
        looking_up(make_record(trial, energy_j=energy_j, time_s=time_s, steps=120))
        for trial, energy_j, time_s in rows
    ]
    return [*trials, *tables]


def side(meter: MeterInfo, counted_energy_j: float | None, **fields: Any) -> SecondMeter:
    """What `meter` counted beside the one that ranks."""
    reading = SecondMeter(
        meter=meter.name,
        kind=meter.kind,
        counted_energy_j=counted_energy_j,
        gross_energy_j=counted_energy_j,
        phases_j=None,
        settings=meter.settings,
    )
    return dataclasses.replace(reading, **fields)


def ranked_energy_j(record: Record) -> float | None:
    """Counted joules until the crossing where the target was reached, else until the end of the run."""
    return record.counted_energy_j if record.crossing is None else record.crossing.energy_j


def read_beside(record: Record, meter: MeterInfo, ratio: float, **fields: Any) -> Record:
    """The record with a side reading of `ratio` times its own joules; of a run without any, none."""
    joules = ranked_energy_j(record)
    reading = (
        side(meter, None, reason="the run has no end") if joules is None else side(meter, ratio * joules)
    )
    return with_second(record, dataclasses.replace(reading, **fields))


def with_second(record: Record, meter: SecondMeter) -> Record:
    return dataclasses.replace(record, second_meters=(*record.second_meters, meter))


def ranked_by(record: Record, meter: MeterInfo, ratio: float) -> Record:
    """The record as if `meter` had ranked, at `ratio` times the joules, and its own meter beside it."""
    own = side(record.meter, ranked_energy_j(record))
    if record.ledger is None:
        return dataclasses.replace(record, meter=meter, second_meters=(own,))
    energy_j = {phase: ratio * joules for phase, joules in record.ledger.energy_j.items()}
    ledger = dataclasses.replace(record.ledger, energy_j=energy_j)
    curve = tuple(dataclasses.replace(p, energy_j=ratio * (p.energy_j or 0.0)) for p in record.curve)
    counted = None if record.counted_energy_j is None else ratio * record.counted_energy_j

    def scaled(values: Mapping[str, float]) -> dict[str, float]:
        return {key: ratio * v if key == "energy_to_target_j" else v for key, v in values.items()}

    return dataclasses.replace(
        record,
        meter=meter,
        second_meters=(own,),
        ledger=ledger,
        gross_energy_j=ledger.gross_energy_j,
        net_energy_j=None,
        idle_power_w=None,
        counted_energy_j=counted,
        energy_error_j=None if counted is None else 0.0,
        curve=curve,
        crossing=None if record.crossing is None else find_crossing(curve, TARGET),
        values=scaled(record.values),
        spent=scaled(record.spent),
    )


def heated(record: Record, start_c: float = 41.0) -> Record:
    """The record with temperatures that rise with its power, and a mean power."""
    ledger = record.ledger
    if ledger is None:
        return record
    power_w = ledger.gross_energy_j / ledger.gross_time_s
    highest_c = start_c + round(6.0 * power_w)
    observed = {
        "temperature_start_c": start_c,
        "temperature_end_c": highest_c - 1.0,
        "temperature_max_c": highest_c,
        "mean_power_w": power_w,
    }
    return dataclasses.replace(record, observed=observed)


def ended_early(curve: tuple[CurvePoint, ...], margin: float = 0.2) -> tuple[CurvePoint, ...]:
    """The curve whose evaluations far above the target ended early."""
    return tuple(dataclasses.replace(point, whole=point.loss < TARGET + margin) for point in curve)


# By trial: roofline over nvml. It misses what is not arithmetic, so small models look too cheap.
ROOFLINE_RATIOS = (
    *(0.33, 0.31, 0.36, 0.30, 0.29, 0.31, 0.27, 0.24, 0.30, 0.30, 0.28, 0.27, 0.17, 0.30, 0.26, 0.24),
)


def make_metered_study() -> list[Record]:
    """`make_study` measured by nvml, with roofline read beside it and a rapl that could not be read."""
    rapl = MeterInfo("rapl", Kind.MEASURED, settings={"devices": ["package-0"]})
    denied = "/sys/class/powercap/intel-rapl:0/energy_uj: permission denied"
    records = []
    for record in make_study():
        record = heated(dataclasses.replace(record, meter=NVML, curve=ended_early(record.curve)))
        joules = ranked_energy_j(record)
        record = dataclasses.replace(record, energy_error_j=None if joules is None else 0.3)
        record = read_beside(record, ROOFLINE, ROOFLINE_RATIOS[record.trial])
        records.append(with_second(record, side(rapl, None, reason=denied)))
    return records


def make_misranked_study() -> list[Record]:
    """The same runs ranked by roofline, with nvml beside it: trial 12 wins, which costs more than trial 7."""
    alone = [dataclasses.replace(record, second_meters=()) for record in make_metered_study()]
    return [ranked_by(record, ROOFLINE, ROOFLINE_RATIOS[record.trial]) for record in alone]


def study_config(*names: str) -> dict[str, Any]:
    return {
        "study": {"name": "demo"},
        "objective": {"names": list(names or ("energy_to_target_j", "time_to_target_s"))},
    }


@dataclass(frozen=True)
class Truth:
    """What is true of a recipe over its seeds: its mean end loss is just below the target at `enough` steps,
    where it takes `energy` and `time` times what the documented baseline takes; a run's joules have the noise
    `gain`, a share."""

    enough: int
    energy: float
    time: float
    gain: float = 0.02
    flags: tuple[str, ...] = ()


# By trial; 0 is the baseline, whose documented length is `_DOCUMENTED_STEPS`.
_DOCUMENTED_STEPS = 1600
_BASELINE = Truth(1480, 1.0, 1.0)
TRUTHS: dict[str, dict[int, Truth]] = {
    "SAVES": {0: _BASELINE, 1: Truth(400, 0.2, 0.25), 2: Truth(420, 0.4, 0.45)},
    "TIE": {0: Truth(1575, 1.0, 1.0, 0.01), 1: Truth(400, 0.98, 0.9, 0.01), 2: Truth(420, 1.3, 1.2)},
    "COSTS": {0: _BASELINE, 1: Truth(400, 1.4, 1.3), 2: Truth(420, 1.9, 1.9)},
    "UNPROVEN": {0: replace(_BASELINE, gain=0.4), 1: Truth(400, 0.8, 0.5, 0.4), 2: Truth(420, 1.9, 0.9)},
}
SEED_NOISE = 0.002
# How far below the target a run of enough steps ends: the baseline's, and the candidates', whose fits expect
# noisier seeds.
BELOW = (0.01, 0.0226)
CONFIRM_SEED = 5000  # of round 0; those of fits are from 9000 on


def make_searched_study() -> list[Record]:
    """A search whose best two trials look far cheaper than its baseline."""
    rows = ((0, _DOCUMENTED_STEPS, 60.0, 20.0), (1, 450, 12.0, 5.0), (2, 470, 15.0, 6.0))
    return [
        *(_programmed(trial, steps, energy_j=j, time_s=s, steps=steps - 20) for trial, steps, j, s in rows),
        _programmed(3, 300, energy_j=9.0, time_s=4.0, steps=300, outcome=Outcome.OUT_OF_BUDGET),
    ]


def _programmed(trial: int, max_steps: int, **fields: Any) -> Record:
    config = make_config(BASELINE_PARAMS | {"train.max_steps": max_steps})
    return make_record(trial, config=config, **fields)


def make_confirmed_study(
    verdict: str = "SAVES",
    *,
    most: int | None = None,
    truths: Mapping[int, Truth] | None = None,
    **confirm: Any,
) -> list[Record]:
    """`make_searched_study`, and the runs that its confirmation asks for until it ends in this verdict.

    `most` ends it after so many runs; `truths` replace those of some trials; `confirm` are its settings. Read
    it with `confirmed_config` of the same settings.
    """
    records = make_searched_study()
    true_of = {**TRUTHS[verdict], **(truths or {})}
    for upcoming in _asked_for(records, ConfirmSettings(**confirm)):
        if most is not None and len(records) - 4 >= most:
            break
        records.append(_confirming_run(len(records), upcoming, true_of[upcoming.recipe.of_trial]))
    return records


def _asked_for(records: list[Record], settings: ConfirmSettings) -> Iterator[NextRecipe]:
    objectives = ("energy_to_target_j", "time_to_target_s")
    while True:
        state = confirmation_state(records, objectives, TARGET, settings, 0)
        if state is None or state.next is None:
            return
        yield state.next


def _confirming_run(trial: int, upcoming: NextRecipe, true: Truth) -> Record:
    place = upcoming.place
    seed = (CONFIRM_SEED if upcoming.role is Role.CONFIRM else 9000) + place.round
    noise = np.random.default_rng((seed, place.of_trial, upcoming.steps, place.attempt)).normal(size=3)
    loss = TARGET - BELOW[place.of_trial > 0] - 0.14 * math.log(upcoming.steps / true.enough)
    loss += SEED_NOISE * float(noise[0])
    length = _DOCUMENTED_STEPS if place.of_trial == 0 else true.enough
    share = upcoming.steps / length
    return end_of_schedule(
        _programmed(
            trial,
            upcoming.steps,
            steps=upcoming.steps,
            energy_j=60.0 * true.energy * share * math.exp(true.gain * float(noise[1])),
            time_s=20.0 * true.time * share * math.exp(true.gain * float(noise[2])),
            final_loss=loss,
            outcome=Outcome.REACHED if loss <= TARGET else Outcome.OUT_OF_BUDGET,
            role=upcoming.role,
            seed=seed,
            confirmation=place,
            flags=true.flags if place.arm != DOCUMENTED else (),
            test_loss=loss + 0.012,
        )
    )


def end_of_schedule(record: Record) -> Record:
    """The record as of a run of fixed length: evaluated once, at its end."""
    curve = record.curve[-1:]
    return dataclasses.replace(record, curve=curve, crossing=crossing_at_the_end(curve, TARGET))


def by_accuracy(records: Sequence[Record]) -> list[Record]:
    """The same runs as if an accuracy had been their target, with PER_NAT of each loss for an error rate."""
    return [_by_accuracy(record) for record in records]


def _by_accuracy(record: Record) -> Record:
    def rate(loss: float | None) -> float | None:
        return None if loss is None else PER_NAT * loss

    data = record.provenance["data"]
    crossing = record.crossing
    return dataclasses.replace(
        record,
        config={**record.config, "target_metric": "accuracy"},
        target_loss=PER_NAT * record.target_loss,
        loss_gap=rate(record.loss_gap),
        best_loss=rate(record.best_loss),
        test_loss=rate(record.test_loss),
        curve=tuple(dataclasses.replace(point, loss=PER_NAT * point.loss) for point in record.curve),
        crossing=None if crossing is None else dataclasses.replace(crossing, loss=PER_NAT * crossing.loss),
        provenance={**record.provenance, "data": {**data, "ngram_loss": rate(data["ngram_loss"])}},
    )


def confirmed_config(**confirm: Any) -> dict[str, Any]:
    """Of a study with a confirmation of these settings."""
    settings = dataclasses.asdict(ConfirmSettings(**confirm))
    return study_config() | {"study": {"name": "demo", "seed": 0}, "confirm": settings}


# A baseline, the same one short of the target, and a trial that cost a fifth of it.
BASELINE = make_record(0, energy_j=60.0, time_s=20.0)
SHORT_BASELINE = make_record(0, energy_j=60.0, time_s=20.0, outcome=Outcome.OUT_OF_BUDGET)
CHEAP = make_record(1, energy_j=12.0, time_s=5.0)
