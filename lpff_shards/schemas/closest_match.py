"""Suggestions for misspelled words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_CUTOFF = 0.6
"""Smallest similarity of a suggestion, 0 to 1: the default of `get_close_matches`."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return the first sentence of a hint, with a space after it; empty without a close word.

    Case is ignored. The first of equally close words is suggested: `difflib.get_close_matches` returns the last by
    the alphabet, CC-BY-2.5 for CC-BY-2.
    """
    words = {word: SequenceMatcher(None, given.casefold(), word.casefold()).ratio() for word in allowed}
    best = max(words, key=words.__getitem__, default="")
    return f"Did you mean {best}? " if best and words[best] >= _CUTOFF else ""


def choice_hint(given: str, allowed: Iterable[str]) -> str:
    """Return the hint for a word that is not on a list."""
    words = list(allowed)
    return f"{did_you_mean(given, words)}It is one of: {', '.join(words)}"
