"""What training yields. It imports no torch, and neither need those who read it."""

from dataclasses import dataclass
from typing import NamedTuple


class Compiled(NamedTuple):
    """torch's own counts: graphs that were compiled, and where one broke (0: that is an error here)."""

    graphs: int
    graph_breaks: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. `phase` is what happens when the generator is resumed: setup, compile, train or
    eval.

    `train_loss` is the last step's loss where it was read. `loss` and `loss_stderr` are set right after
    an evaluation, in nats per token or as an error rate (`model.metric`), and with them `evaluated_tokens`,
    how many tokens went through the model. `whole` is False where it ended early, plainly above the target:
    `loss` is then an estimate, never at or below it.
    `test_loss` and `test_loss_stderr` are the same of the test part, with the last evaluation of a run that
    is to score it; `evaluated_tokens` counts those tokens too.
    `waited_s`: seconds that training has waited for data so far. `compiled`: what was compiled, once it was.
    """

    step: int
    tokens: int
    phase: str
    train_loss: float | None = None
    loss: float | None = None
    loss_stderr: float | None = None
    evaluated_tokens: int | None = None
    whole: bool = True
    test_loss: float | None = None
    test_loss_stderr: float | None = None
    waited_s: float = 0.0
    compiled: Compiled | None = None


class EvaluationResult(NamedTuple):
    """What one evaluation found, for whoever plans the next: its step, its loss, and the `share` of the
    windows that it took, 1 where it was whole. `stderr` is as in `model.evaluate.Evaluation`."""

    step: int
    loss: float
    stderr: float
    share: float

    @property
    def whole(self) -> bool:
        return self.share >= 1.0
