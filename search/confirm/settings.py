"""What a person can set of the confirmation: the group `confirm` of a study's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from model.config import need


@dataclass
class ConfirmSettings:
    """How a study confirms its best candidates on fresh seeds.

    candidates    this many of the best trials are fitted and confirmed; 0 turns it all off
    seeds         fresh seeds of every arm before the first look at the verdict
    max_seeds     and at most, where the first look does not decide
    share         of fresh seeds, at least so many must be predicted to reach the target at the fitted length
    fit_runs      at most so many runs of an arm to fit its length
    repeats       a round whose sides saw different load is run so often again
    time_margin   a candidate may take this share longer than the baseline: 0.02 is 2 %
    loss_margin   its held-out loss may be this much higher than the baseline's, in nats per token; or its
                  accuracy this much lower
    inference     whether a saving must not be bought with dearer inference: the trained models generate
    inference_margin  a token may then take this share more joules than the baseline's: 0.05 is 5 %
    tie           an energy ratio that is known to be nearer to 1 than this is a tie
    energy_j      the joules that fitting, confirming and ablating may take together; None: no limit
    ablate        for a candidate that saves, whether each group of levers is put back and measured
    ablate_seeds  fresh seeds of every arm of the ablation
    """

    candidates: int = 2
    seeds: int = 5
    max_seeds: int = 8
    share: float = 0.9
    fit_runs: int = 6
    repeats: int = 2
    time_margin: float = 0.02
    loss_margin: float = 0.02
    inference: bool = False
    inference_margin: float = 0.05
    tie: float = 0.05
    energy_j: float | None = None
    ablate: bool = False
    ablate_seeds: int = 3

    def __post_init__(self) -> None:
        need(self.candidates >= 0, "confirm.candidates", "0 (no confirmation) or more", self.candidates)
        need(self.seeds >= 3, "confirm.seeds", "3 or more", self.seeds)
        need(
            self.max_seeds >= self.seeds,
            "confirm.max_seeds",
            f"confirm.seeds={self.seeds} or more",
            self.max_seeds,
        )
        need(0 < self.share < 1, "confirm.share", "above 0 and below 1", self.share)
        need(self.fit_runs >= 3, "confirm.fit_runs", "3 or more", self.fit_runs)
        need(self.repeats >= 0, "confirm.repeats", "0 or more", self.repeats)
        need(self.time_margin >= 0, "confirm.time_margin", "0 or more", self.time_margin)
        need(self.loss_margin >= 0, "confirm.loss_margin", "0 or more", self.loss_margin)
        need(self.inference_margin >= 0, "confirm.inference_margin", "0 or more", self.inference_margin)
        need(self.tie > 0, "confirm.tie", "more than 0", self.tie)
        need(
            self.energy_j is None or self.energy_j > 0,
            "confirm.energy_j",
            "null, or more than 0",
            self.energy_j,
        )
        need(self.ablate_seeds >= 3, "confirm.ablate_seeds", "3 or more", self.ablate_seeds)

    def over_budget(self, spent_j: float) -> str:
        """That `energy_j` is spent, in words; empty where it is not."""
        if self.energy_j is None or spent_j < self.energy_j:
            return ""
        return f"confirm.energy_j={self.energy_j:g} is spent"
