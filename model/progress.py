"""What training yields. It imports no torch: whoever only listens need not either."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. `phase` is what happens when the generator is resumed: setup, compile, train or
    eval.

    `train_loss` is the last step's loss where it was looked at. `loss` and `loss_stderr` are set right after
    an evaluation, in nats per token.
    """

    step: int
    tokens: int
    phase: str
    train_loss: float | None = None
    loss: float | None = None
    loss_stderr: float | None = None
