"""Suggestions for misspelled words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

CUTOFF = 0.6
"""Smallest similarity of a suggestion, 0 to 1: the default of `get_close_matches`."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return the first sentence of a hint, with a space after it; empty without a close word.

    Case and leading dashes of options are ignored. The first of equally close words is suggested:
    `difflib.get_close_matches` returns the last by the alphabet, CC-BY-2.5 for CC-BY-2.
    """

    def likeness(word: str) -> float:
        return SequenceMatcher(None, given.casefold().lstrip("-"), word.casefold().lstrip("-")).ratio()

    best = max(allowed, key=likeness, default="")
    return f"Did you mean {best}? " if best and likeness(best) >= CUTOFF else ""


def choice_hint(given: str, allowed: Iterable[str]) -> str:
    """Return the hint for a word that is not on a list."""
    words = list(allowed)
    return f"{did_you_mean(given, words)}It is one of: {', '.join(words)}"
