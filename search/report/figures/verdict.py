"""The verdict as a figure: paired energy ratios as a forest plot, and the end losses of every arm beside the
target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from model.metric import LOSS, METRICS, Metric
from search.confirm.intervals import Interval
from search.confirm.state import ConfirmationState
from search.record.confirmation import DOCUMENTED, FITTED
from search.report.figures import panels, style
from search.report.findings import numbers
from search.report.findings.flags import flag_words
from search.report.findings.names import kind_words
from search.report.view.confirmation import Pair, energy_pairs, verdicts
from search.report.view.data import StudyView

_ROW_PX = 46
_LEAST_PX = 110
_TOP = -0.95  # of the axis, in rows: above the first there is room for the name of a line
_ABOVE = 0.2  # of a row: the mean stands above its pairs


@dataclass(frozen=True)
class PairMark:
    """One round: the candidate's joules over the baseline's. `doubt` says what makes it doubtful."""

    ratio: float
    doubt: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class RatioRow:
    """A candidate against one baseline: its pairs, and their ratio of geometric means, None where it is not
    known."""

    candidate: str
    baseline: str
    pairs: tuple[PairMark, ...]
    ratio: Interval | None


@dataclass(frozen=True)
class LossMark:
    loss: float
    seed: int


@dataclass(frozen=True)
class LossRow:
    """The end losses of an arm, or its accuracies, and their mean; `diverged` runs have none."""

    arm: str
    losses: tuple[LossMark, ...]
    mean: float | None
    diverged: int


@dataclass(frozen=True)
class VerdictInfo:
    """Ratios by candidate, the one that leads first; losses by arm, the baseline's first, as people read
    them."""

    ratios: tuple[RatioRow, ...]
    losses: tuple[LossRow, ...]
    target_loss: float
    kind: str
    metric: Metric = METRICS[LOSS]

    @property
    def doubtful(self) -> int:
        """How many pairs are flagged."""
        return sum(bool(pair.doubt) for row in self.ratios for pair in row.pairs)


def verdict_info(view: StudyView) -> VerdictInfo | None:
    """None before the first round is complete."""
    state, target_loss = view.confirmation, view.problem.target_loss
    if state is None or state.race is None or not state.race.rounds or target_loss is None:
        return None
    ratios = [
        RatioRow(verdict.arm, baseline, _pairs(state, verdict.arm, baseline), ratio)
        for verdict in verdicts(state)
        for baseline, ratio in (
            (DOCUMENTED, verdict.energy_ratio),
            (FITTED, verdict.energy_ratio_fitted),
        )
    ]
    arms = [DOCUMENTED, FITTED, *dict.fromkeys(row.candidate for row in ratios)]
    metric = view.problem.metric
    losses = [_loss_row(state, arm, metric) for arm in arms]
    return VerdictInfo(
        ratios=tuple(row for row in ratios if row.pairs),
        losses=tuple(row for row in losses if row.losses or row.diverged),
        target_loss=metric.shown(target_loss),
        kind=kind_words(view),
        metric=metric,
    )


def _pairs(state: ConfirmationState, arm: str, baseline: str) -> tuple[PairMark, ...]:
    return tuple(_pair_mark(pair, arm, baseline) for pair in energy_pairs(state, arm, baseline))


def _pair_mark(pair: Pair, arm: str, baseline: str) -> PairMark:
    doubt = "only one side saw other load" if pair.uneven else "flagged" if pair.flags else ""
    return PairMark(
        ratio=pair.ratio,
        doubt=doubt,
        lines=(
            f"{arm} over the {baseline} baseline, seed {pair.seed}",
            f"{numbers.ratio(pair.ratio)} of its energy",
            *([f"{doubt}:"] if doubt else []),
            *(f"flag: {flag_words(flag)}" for flag in pair.flags),
        ),
    )


def _loss_row(state: ConfirmationState, arm: str, metric: Metric) -> LossRow:
    rounds = () if state.race is None else state.race.rounds
    runs = [one.runs[arm] for one in rounds if arm in one.runs]
    marks = tuple(LossMark(metric.shown(run.loss), run.seed) for run in runs if math.isfinite(run.loss))
    mean = math.fsum(mark.loss for mark in marks) / len(marks) if marks else None
    diverged = len(runs) - len(marks)
    return LossRow(arm, marks, None if diverged else mean, diverged)


def verdict_caption(info: VerdictInfo) -> str:
    """What both panels show, and how to read them."""
    parts = [
        "Left (above on a narrow screen): counted joules of a candidate over those of the baseline that ran "
        "beside it, one circle a round, and their geometric mean with its 95 % interval. An interval that "
        "lies wholly left of 1 saves energy.",
        f"Right (below): the {info.metric.either('losses', 'accuracies')} at the end of the schedule, one "
        f"mark a seed and a bar at their mean; the mean must lie {info.metric.either('left', 'right')} of "
        "the target.",
    ]
    if info.doubtful:
        parts.append("Crosses are rounds with a flag on either side; they count as they are.")
    if diverged := sum(row.diverged for row in info.losses):
        parts.append(f"Not drawn: {diverged} that diverged or crashed, and reach no target.")
    return " ".join(parts)


def verdict_figure(info: VerdictInfo) -> go.Figure:
    """Two panels: ratios on a logarithmic axis with 1 marked, and end losses with the target marked."""
    rows = max(len(info.ratios), len(info.losses))
    height = max(_LEAST_PX, rows * _ROW_PX)
    wide, narrow = panels.arrange(2, 2, height), panels.arrange(2, 1, height)
    figure = style.figure(wide.height)
    _add_ratios(figure, info)
    _add_losses(figure, info)
    panels.place(figure, wide, narrow)
    return figure


def _add_ratios(figure: go.Figure, info: VerdictInfo) -> None:
    for doubtful in (False, True):
        if trace := _pairs_trace(info, doubtful):
            figure.add_trace(trace)
    known = [(place, row.ratio) for place, row in enumerate(info.ratios) if row.ratio is not None]
    if known:
        figure.add_trace(_means_trace(known))
    values = [1.0, *(pair.ratio for row in info.ratios for pair in row.pairs)]
    values += [end for _, ratio in known for end in (ratio.low, ratio.high) if 1e-6 < end < 1e6]
    names = [f"{_short(row.candidate)}<br>over {_short(row.baseline)}" for row in info.ratios]
    _set(figure, 1, f"energy ratio, {info.kind}", values, names, log=True)
    left = min(values) * max(values) > 1
    _mark(figure, 1, 1.0, "1: the baseline", len(info.ratios), left)


def _pairs_trace(info: VerdictInfo, doubtful: bool) -> go.Scatter | None:
    found = [
        (place, pair)
        for place, row in enumerate(info.ratios)
        for pair in row.pairs
        if bool(pair.doubt) is doubtful
    ]
    if not found:
        return None
    colour = style.VERMILLION if doubtful else style.BLUE
    return go.Scatter(
        x=[pair.ratio for _, pair in found],
        y=[place + _ABOVE for place, _ in found],
        name="one round, flagged" if doubtful else "one round",
        mode="markers",
        marker={
            "symbol": "x-thin-open" if doubtful else "circle-open",
            "size": 9,
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        hovertext=[style.lines(pair.lines) for _, pair in found],
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
        **panels.axes_of(1),
    )


def _means_trace(known: Sequence[tuple[int, Interval]]) -> go.Scatter:
    return go.Scatter(
        x=[ratio.estimate for _, ratio in known],
        y=[place - _ABOVE for place, _ in known],
        name="geometric mean, 95 %",
        mode="markers",
        marker={"symbol": "diamond", "size": 12, "color": style.BLUE},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [ratio.high - ratio.estimate for _, ratio in known],
            "arrayminus": [ratio.estimate - ratio.low for _, ratio in known],
            "color": style.BLUE,
            "thickness": 2,
            "width": 6,
        },
        hovertext=[
            f"{numbers.ratio(ratio.estimate)} ({numbers.ratio(ratio.low)} to {numbers.ratio(ratio.high)})"
            for _, ratio in known
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        **panels.axes_of(1),
    )


def _add_losses(figure: go.Figure, info: VerdictInfo) -> None:
    unit = info.metric.either(" nats", "")
    marks = [(place, mark) for place, row in enumerate(info.losses) for mark in row.losses]
    figure.add_trace(
        go.Scatter(
            x=[mark.loss for _, mark in marks],
            y=[place for place, _ in marks],
            name=f"end {info.metric.name} of one seed",
            mode="markers",
            marker={
                "symbol": "square-open",
                "size": 8,
                "color": style.PURPLE,
                "line": {"width": 2, "color": style.PURPLE},
            },
            hovertext=[f"{mark.loss:.4f}{unit}, seed {mark.seed}" for _, mark in marks],
            hovertemplate="%{hovertext}<extra></extra>",
            cliponaxis=False,
            **panels.axes_of(2),
        )
    )
    means = [(place, row.mean) for place, row in enumerate(info.losses) if row.mean is not None]
    figure.add_trace(
        go.Scatter(
            x=[mean for _, mean in means],
            y=[place for place, _ in means],
            name=f"mean end {info.metric.name}",
            mode="markers",
            marker={
                "symbol": "line-ns",
                "size": 22,
                "color": style.PURPLE,
                "line": {"width": 3, "color": style.PURPLE},
            },
            hovertemplate=f"mean %{{x:.4f}}{unit}<extra></extra>",
            **panels.axes_of(2),
        )
    )
    values = [info.target_loss, *(mark.loss for _, mark in marks)]
    names = [f"{_short(row.arm)}{_lost(row.diverged)}" for row in info.losses]
    _set(
        figure,
        2,
        f"end {info.metric.name}{info.metric.either(' (nats per token)', '')}",
        values,
        names,
        log=False,
    )
    target = f"target {info.metric.text(info.metric.shown(info.target_loss))}"
    left = 2 * info.target_loss < min(values) + max(values)
    _mark(figure, 2, info.target_loss, target, len(info.losses), left)


def _lost(diverged: int) -> str:
    return f"<br>({diverged} diverged)" if diverged else ""


def _short(arm: str) -> str:
    return style.text(arm)


def _set(
    figure: go.Figure, number: int, title: str, values: Sequence[float], names: Sequence[str], *, log: bool
) -> None:
    """The axes of a panel whose rows have names; the first is on top."""
    rows = {
        "range": [len(names) - 0.4, _TOP],
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "zeroline": False,
        "showgrid": False,
        "automargin": True,
    }
    x = style.axis(title, values, log=log)
    if not log:
        room = 0.12 * (max(values) - min(values)) or 0.01
        x |= {"range": [min(values) - room, max(values) + room], "nticks": 5}
    panels.set_axes(figure, number, x, rows)


def _mark(figure: go.Figure, number: int, x: float, name: str, rows: int, left: bool) -> None:
    """A line down a panel, with its name above the first row: right of a line that lies `left`."""
    axes = panels.axes_of(number)
    log = number == 1
    figure.add_shape(
        type="line",
        x0=x,
        x1=x,
        y0=_TOP,
        y1=rows - 0.4,
        xref=axes["xaxis"],
        yref=axes["yaxis"],
        line={"color": style.GREY, "width": 2, "dash": "dash"},
    )
    figure.add_annotation(
        text=name,
        x=math.log10(x) if log else x,
        y=_TOP,
        xref=axes["xaxis"],
        yref=axes["yaxis"],
        xanchor="left" if left else "right",
        yanchor="top",
        showarrow=False,
    )
