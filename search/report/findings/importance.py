"""What the importance of the parameters says, or why it is not computed."""

from __future__ import annotations

from search.console.plural import counted
from search.report.view.importance import MIN_REACHED, MIN_TRIALS, Importance, Lacking


def importance_words(found: Importance) -> str:
    """One or two sentences, whether or not there is anything to draw."""
    if found.lacking is Lacking.TRIALS:
        have = f"{found.reached} of {counted(found.trials, 'trial')} reached the target"
        takes = f"importance takes {MIN_TRIALS} trials, {MIN_REACHED} of which reached it"
        return f"Not computed yet: {have}, and {takes}."
    if found.lacking is Lacking.DIFFERENCES:
        return "Not computed: these trials all cost the same."
    if found.lacking is Lacking.VARIATION:
        return "Not computed: no parameter varies among these trials."
    return (
        f"What sets the best {found.best} of {found.trials} trials apart ({found.reached} reached the "
        "target; the others count as worse than these): a hint at where to look, not a measurement. "
        "One parameter at a time; how parameters act together is not seen."
    )
