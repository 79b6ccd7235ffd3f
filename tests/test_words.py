"""Plain words: the worst of the old patterns do not come back into help, messages, docstrings and pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import PROJECT

PATTERNS = {
    "British spelling": r"\b(?:licence|colour|neighbour|behaviour|centre|grey|normalis|initialis|serialis|finalis)\w*",
    "a passive of telling": r"\b(?:is|are|was|were|be) (?:told|heard)\b",
    "a clause without a noun": r"\b(?:what (?:is|was) asked for|whose it is|whatever it calls|where there is none)\b",
    "files of ours": r"\b(?:is none|are none|manifest|files?|zips?|shards?) of ours\b",
    "mending": r"\bmend(?:s|ed|ing)?\b",
    "strangers": r"\bstrangers?\b",
    "knowing nothing": r"\bknows? nothing\b",
    "letting go": r"\blets? go of\b",
    "disliking": r"\bdislikes?\b",
}
"""Patterns that have a plainer form; `KEPT` lists words that a file format fixes."""
KEPT = {
    "lpff_shards/formats/pictures/header.py": {"colour"},  # the field `changes` of every shard spells it so
    "docs/pictures.md": {"colour"},
    "lpff_shards/schemas/record.py": {"licence"},  # the digest of a plan seals the field by this name
}
FILES = [
    path.relative_to(PROJECT).as_posix()
    for pattern in ("lpff_shards/**/*.py", "lpff_shards/**/*.md", "lpff_shards/**/*.j2", "docs/*.md", "*.md")
    for path in sorted(PROJECT.glob(pattern))
    if path.name != "CHANGELOG.md"
]


@pytest.mark.parametrize("file", FILES)
def test_no_old_pattern_is_in(file: str) -> None:
    text = (PROJECT / Path(file)).read_text("utf-8")
    found = {
        name: words
        for name, pattern in PATTERNS.items()
        if (words := {word.lower() for word in re.findall(pattern, text, re.IGNORECASE)} - KEPT.get(file, set()))
    }
    assert not found, f"{file} has {found}"
