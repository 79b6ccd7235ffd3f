"""Did you mean: the allowed word that a wrong one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

CUTOFF = 0.6
"""How alike two words must be, 0 to 1, for one to be meant by the other."""


def nearest(given: str, allowed: Iterable[str]) -> str:
    """The allowed word most like a given one, whatever its case, the first of several; empty where none is like it.

    A word that the given one begins is taken where none is like it as a whole: `torch` for `torch.loader`.
    """
    words = list(allowed)
    folded = given.casefold()
    best = max(words, key=lambda word: _likeness(folded, word), default="")
    if best and _likeness(folded, best) >= CUTOFF:
        return best
    return next((word for word in words if len(folded) > 2 and word.casefold().startswith(folded)), "")


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """A sentence for the beginning of a hint, with a space behind it; empty where no allowed word is near."""
    found = nearest(given, allowed)
    return f"Did you mean {found}? " if found else ""


def choice_hint(given: str, allowed: Iterable[str]) -> str:
    """The hint of an error about a word that is none of a list."""
    words = list(allowed)
    return f"{did_you_mean(given, words)}It is one of: {', '.join(words)}"


def _likeness(given: str, word: str) -> float:
    """0 for words of no common letters, 1 for the same."""
    matcher = SequenceMatcher(None, given, word.casefold(), autojunk=False)
    # The bound is cheap and rules out most words.
    return matcher.ratio() if matcher.quick_ratio() >= CUTOFF else 0.0
