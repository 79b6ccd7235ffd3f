"""The commands and the code of every page of docs/, and of the README's part on real data, run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from conftest import PROJECT
from fake_datasets import link_all, write_all
from pages import DOCS, PAGES, Block, blocks, commands, parse, run_blocks, section
from running import call

from lpff_shards import ShardsError


@pytest.fixture(scope="module")
def fake_datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("fake_datasets"))


def _text(page: str) -> str:
    readme = (PROJECT / "README.md").read_text()
    return section(readme, "## Real data", "## Loading") if page == "README.md" else (DOCS / page).read_text()


@pytest.mark.parametrize("page", [*(f"docs/{page.name}" for page in PAGES), "README.md"])
def test_the_page_s_commands_run(
    page: str, fake_datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = link_all(fake_datasets, tmp_path / "page")
    monkeypatch.chdir(folder)

    def run(words: object) -> int:
        done = call(capsys, monkeypatch, *words)  # type: ignore[misc]
        assert done.status == 0, done.err
        return done.status

    run_blocks(blocks(_text(page.removeprefix("docs/"))), folder, run)


def test_no_two_pages_write_to_one_place() -> None:
    """Whoever follows two pages in one folder meets no export of another plan."""
    owners: dict[str, set[str]] = {}
    for page in (PROJECT / "README.md", *DOCS.glob("*.md")):
        for out in re.findall(r"""(?:--out |out=")([^\s`"]+)""", page.read_text()):
            owners.setdefault(out, set()).update([page.name] if out != "FILE" else [])
    assert len(owners) > 30
    assert {out: pages for out, pages in owners.items() if len(pages) > 1} == {}


def test_the_published_sets_are_named_as_published(
    fake_datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of published-sets.md make what they say: their folders are called as the sets."""
    monkeypatch.chdir(link_all(fake_datasets, tmp_path / "page"))
    found = [words for block in blocks(_text("published-sets.md")) for words in commands(block)]
    names = []
    for words in found:
        done = call(capsys, monkeypatch, *words, "--dry-run", "--json")
        plan, out = json.loads(done.out), words[words.index("--out") + 1]
        names.append(out)
        if out != "trainers":
            assert (plan["options"]["alignment"], plan["name"]) == tuple(out.split("/"))
    assert len(names) == len(set(names)) == 10


def test_a_command_that_is_not_there_is_noticed() -> None:
    for words in (["exprot"], ["export", "--format", "wds", "--out", "x", "--no-such"], ["export", "--format", "rar"]):
        with pytest.raises((click.UsageError, ShardsError)):
            parse(words)


def test_a_command_is_found_wherever_it_stands() -> None:
    code = 'srun .venv/bin/lpff-shards export --name "a b" \\\n  --demo # so\nlpff-shards verify x && rm y\n'
    block = Block("sh", code)
    assert list(commands(block)) == [["export", "--name", "a b", "--demo"], ["verify", "x"]]


def test_a_failing_block_fails_its_page(tmp_path: Path) -> None:
    failing = (("sh", "false | true\n"), ("sh", "lpff-shards verify x\n"), ("python", "assert False\n"))
    for block in (Block(kind, code) for kind, code in failing):
        with pytest.raises(AssertionError):
            run_blocks([block], tmp_path, lambda words: 2)


def test_a_block_that_no_test_would_see_is_refused() -> None:
    with pytest.raises(AssertionError, match="no test sees"):
        blocks("- a list\n\n  ```sh\n  lpff-shards verify x\n  ```\n")


def test_every_reason_says_something() -> None:
    for page in PAGES:
        for block in blocks(page.read_text()):
            assert not block.skipped or len(block.skipped) > 10
