"""The documentation is true: its examples run, its tables are the code's, every command and option is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from conftest import PROJECT
from running import run

from lpff_shards.cli import cli
from lpff_shards.schemas.fields import FIELDS

README = (PROJECT / "README.md").read_text()
OPTIONS = README + "".join(
    (PROJECT / f"docs/{name}.md").read_text() for name in ("attribution", "command-line", "options")
)
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the README's commands were run."""
    folder = tmp_path_factory.mktemp("readme")
    assert run("export", "--format", "wds", "--demo", 3, "--out", folder / "demo-shards").returncode == 0
    return folder


def test_there_is_an_example_of_each_kind() -> None:
    words = ("loaders.torch", "ShardSource", "verify_export")
    assert [word in code for word, code in zip(words, EXAMPLES, strict=True)] == [True] * len(words)


def test_a_stranger_reads_the_readme_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 150


def test_the_python_example_runs(demo: Path) -> None:
    done = subprocess.run([sys.executable, "-c", EXAMPLES[2]], cwd=demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((demo / "api-shards").glob("*.tar"))) == 2


def test_the_source_s_example_runs(demo: Path) -> None:
    done = subprocess.run([sys.executable, "-c", EXAMPLES[1]], cwd=demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("demo_")]) == 6
    assert "(256, 256, 3)" in done.stdout
    assert "(25,)" in done.stdout


def test_the_torch_example_runs(demo: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed here")
    done = subprocess.run([sys.executable, "-c", EXAMPLES[0]], cwd=demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["torch.Size([2, 3, 256, 256]) torch.Size([2, 25])"] * 3


def test_the_field_table_is_the_code_s() -> None:
    page = (PROJECT / "docs/output.md").read_text()
    (shown,) = re.findall(r"<!-- fields -->\n(.*?)<!-- /fields -->", page, re.DOTALL)
    rows = ((f"`{f.name}`", f.kind, f"{f.unit}, {f.doc}" if f.unit else f.doc) for f in FIELDS)
    assert shown.splitlines()[2:] == [f"| {' | '.join(row)} |" for row in rows]


def _commands() -> dict[str, click.Command]:
    return dict(cli.commands)


def test_every_command_and_option_is_told() -> None:
    for name, command in _commands().items():
        assert f"lpff-shards {name}" in README
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.opts} has no help"
                assert any(f"`{o}" in OPTIONS or f" {o}" in OPTIONS for o in (*option.opts, *option.secondary_opts)), (
                    f"{name} {option.opts}"
                )


def test_every_option_that_is_told_exists() -> None:
    # The last one is the example of a wrong one.
    known = {"--help", "--version", "--rebalence"} | {
        o for c in _commands().values() for p in c.params for o in (*p.opts, *p.secondary_opts)
    }
    for line in OPTIONS.splitlines():
        if "lpff-shards" in line or line.startswith("|") or "`--" in line:
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line):
                assert option in known, f"{option} in: {line}"


def test_the_changelog_has_an_unreleased_part() -> None:
    assert "## [Unreleased]" in (PROJECT / "CHANGELOG.md").read_text()
