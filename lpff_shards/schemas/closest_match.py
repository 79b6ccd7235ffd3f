"""Did you mean: the allowed word that a wrong one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

CUTOFF = 0.6
"""How alike two words must be, 0 to 1, for one to be meant by the other: the default of `get_close_matches`."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return a sentence for the beginning of a hint, with a space behind it; empty where no word is close.

    Upper and lower case are the same. Of equally close words the first is meant; `difflib.get_close_matches` takes
    the last by the alphabet, which is CC-BY-2.5 for CC-BY-2.
    """

    def likeness(word: str) -> float:
        return SequenceMatcher(None, given.casefold(), word.casefold()).ratio()

    best = max(allowed, key=likeness, default="")
    return f"Did you mean {best}? " if best and likeness(best) >= CUTOFF else ""


def choice_hint(given: str, allowed: Iterable[str]) -> str:
    """Return the hint of an error about a word that is not on a list."""
    words = list(allowed)
    return f"{did_you_mean(given, words)}It is one of: {', '.join(words)}"
