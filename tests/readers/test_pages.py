"""The examples of docs/ that need a reader's library, run in their pages' order after the commands of their shards."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_datasets import link_all, write_all
from pages import PAGES, Block, blocks, run_blocks
from running import run

LIBRARIES = {"torch": "torch", "webdataset": "webdataset", "megatron.energon": "megatron.energon"}
"""Libraries that examples need, each with the last module that they import of it."""


def _needing(library: str) -> dict[str, list[Block]]:
    """By page, the blocks that make shards and those that need a library."""
    found = {}
    for page in PAGES:
        every = blocks(page.read_text())
        if any(library in block.needs for block in every):
            makes = [block.kind == "sh" and not block.needs for block in every]
            found[page.name] = [block for block, so in zip(every, makes, strict=True) if so or library in block.needs]
    return found


EXAMPLES = [(library, page) for library in LIBRARIES for page in _needing(library)]


def test_there_are_such_pages() -> None:
    assert {("torch", "quickstart.md"), ("torch", "cookbook.md")} <= set(EXAMPLES)
    assert {(library, "channels.md") for library in LIBRARIES} <= set(EXAMPLES)


@pytest.mark.parametrize(("library", "page"), EXAMPLES)
def test_examples_run(library: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(LIBRARIES[library], reason=f"{library} is not installed here")
    folder = link_all(write_all(tmp_path / "fake_datasets"), tmp_path / "page")
    monkeypatch.chdir(folder)
    printed = run_blocks(_needing(library)[page], folder, lambda words: run(*words).returncode)
    assert any(word in printed for word in ("tensor", "0.", "Size(", "(16, 16, 3)"))
