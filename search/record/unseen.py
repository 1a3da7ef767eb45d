"""Validation tokens that the training part does not hold, and so no recipe can learn, in words."""

from __future__ import annotations

MANY = 0.01  # of the validation tokens: above it a loss says more of the text than of the recipe


def unseen_words(share: float) -> str:
    """How many there are, and what to do where that is much."""
    text = f"{100 * share:.2g} % of the validation tokens never occur in the training part"
    if share <= MANY:
        return text
    return f"{text}, so nothing can learn them; give a text whose last tenth is like the rest of it"
