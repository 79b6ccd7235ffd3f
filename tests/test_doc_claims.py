"""What the pages claim of tests, parts and pages is so."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import PROJECT
from floors import drawn
from option_tables import titles, with_tables
from pages import DOCS

from lpff_shards.cli import cli
from lpff_shards.commandline.options import ClickOption

PAGES = sorted(DOCS.glob("*.md"))


def _names(page: str) -> list[str]:
    named: list[str] = re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (DOCS / page).read_text())
    return [name for name in named if "NAME" not in name]


@pytest.mark.parametrize("page", ["promises.md", "architecture.md"])
def test_the_tests_that_pages_name_are_there(page: str) -> None:
    for name in _names(page):
        file, _, test = name.partition("::")
        assert f"def {test}(" in (PROJECT / file).read_text() if test else (PROJECT / file).is_file(), name


def test_every_promise_names_its_test() -> None:
    kept, _, _ = (DOCS / "promises.md").read_text().partition("## What is not promised")
    rows = [line for line in kept.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    assert len(rows) > 30
    for row in rows:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+` \|$", row), row


def test_the_floors_are_the_code_s() -> None:
    """LPFF_SHARDS_REGENERATE_GOLDEN=1 draws them anew."""
    page = DOCS / "architecture.md"
    before, opening, rest = page.read_text().partition("```text\n")
    shown, closing, after = rest.partition("\n```")
    if os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"):
        page.write_text(before + opening + drawn() + closing + after)
    else:
        assert shown == drawn(), f"docs/architecture.md has other floors than the code:\n{drawn()}"


def test_the_tables_of_options_are_those_that_the_commands_declare() -> None:
    """LPFF_SHARDS_REGENERATE_GOLDEN=1 writes them anew."""
    page = DOCS / "options.md"
    shown = page.read_text()
    if os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"):
        page.write_text(with_tables(shown))
    else:
        assert shown == with_tables(shown), "docs/options.md has other options than the commands declare"
    sections = {param.section for param in cli.commands["export"].params if isinstance(param, ClickOption)}
    assert titles(shown) == {("export", section) for section in sections}


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (DOCS / "README.md").read_text()))
    assert linked == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, target
