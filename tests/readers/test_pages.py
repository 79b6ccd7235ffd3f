"""The examples of docs/ that need PyTorch, run in their pages' order after the commands that make their shards."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_datasets import link_all, write_all
from pages import PAGES, Block, blocks, run_blocks
from running import run


def _needing(library: str) -> dict[str, list[Block]]:
    """By page, the blocks that make shards and those that need a library."""
    found = {}
    for page in PAGES:
        every = blocks(page.read_text())
        if any(library in block.needs for block in every):
            found[page.name] = [block for block in every if block.kind == "sh" or library in block.needs]
    return found


TORCH = _needing("torch")


def test_there_are_such_pages() -> None:
    assert {"quickstart.md", "cookbook.md"} <= set(TORCH)


@pytest.mark.parametrize("page", TORCH)
def test_examples_with_torch_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchdata", reason="torch and torchdata are not installed here")
    folder = link_all(write_all(tmp_path / "fake_datasets"), tmp_path / "page")
    monkeypatch.chdir(folder)
    printed = run_blocks(TORCH[page], folder, lambda words: run(*words).returncode)
    assert "tensor" in printed or "0." in printed
