"""The documentation's pages as programs: their blocks of commands and code, run as they stand, in order, in one folder.

A block may say in a comment above it why it is not run here, `<!-- not run: why -->`, or which libraries it needs,
`<!-- needs: torch -->`. Its lpff-shards commands are parsed all the same, and its Python is compiled.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from conftest import PROJECT

from lpff_shards.cli import cli

DOCS = PROJECT / "docs"
# test_documentation.py runs loading.md, where its libraries are; test_session.py makes session.md; command-line.md has
# tests of its own.
ELSEWHERE = ("loading.md", "session.md", "command-line.md")
PAGES = sorted(page for page in DOCS.glob("*.md") if page.name not in ELSEWHERE)
_BLOCK = re.compile(r"^(?:<!-- (not run|needs): ([^>]*?) -->\n)?```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^\s*```(?:sh|bash|shell|console|python|py)\b", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|(?<=[\s/]))lpff-shards [^|;&>]+")
_VARIABLE = re.compile(r"\$\{?[A-Z_]+\}?")
_SHELL = set("|;&<>$`*?~")

Run = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        kind: sh or python.
        skipped: why it is never run; empty where it is.
        needs: libraries that it uses beside ours and numpy.
    """

    kind: str
    code: str
    skipped: str = ""
    needs: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The commands of a sh block, each on one line."""
        joined = self.code.replace("\\\n", " ")
        return [line for line in map(str.strip, joined.splitlines()) if line and not line.startswith("#")]

    @property
    def absent(self) -> list[str]:
        """The libraries that are not installed here."""
        return [name for name in self.needs if _is_absent(name)]


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    found = []
    for word, value, kind, code in _BLOCK.findall(text):
        needs = tuple(value.split()) if word == "needs" else ()
        found.append(Block(kind, code, value if word == "not run" else "", needs))
    assert len(found) == len(_FENCE.findall(text)), "a block that no test sees: use ```sh or ```python, not indented"
    return found


def section(text: str, first: str, last: str) -> str:
    """The text from one heading to another."""
    assert text.count(f"\n{first}\n") == text.count(f"\n{last}\n") == 1
    return text.partition(f"\n{first}\n")[2].partition(f"\n{last}\n")[0]


def run_blocks(found: Sequence[Block], folder: Path, run: Run) -> str:
    """Runs blocks in a folder, and returns what their Python printed.

    Args:
        run: runs a command of ours, by its words behind `lpff-shards`, in the current folder; returns its exit status.
    """
    printed = ""
    for block in found:
        for words in commands(block):
            parse(words)
        if block.kind == "python":
            compile(block.code, "<page>", "exec")
            if not block.skipped and not block.absent:
                printed += run_python(block.code, folder)
        elif not block.skipped and not block.absent:
            for line in block.lines:
                _run_line(line, folder, run)
    return printed


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each lpff-shards command in a sh block, behind the name."""
    for line in block.lines if block.kind == "sh" else ():
        for command in _COMMAND.findall(line):
            # A variable that the shell would fill in stands for a number.
            yield [_VARIABLE.sub("1", word) for word in shlex.split(command, comments=True)[1:]]


def parse(words: Sequence[str]) -> None:
    """Has the command line's own parser read a command, and does not run it.

    Raises:
        click.UsageError, ShardsError: there is no such command or option, or it does not take such a value.
    """
    if words[0] in ("--help", "--version"):
        return
    with click.Context(cli, info_name="lpff-shards") as context:
        name, command, rest = cli.resolve_command(context, list(words))
        assert command is not None
        if "--help" not in rest:
            command.make_context(name, rest, parent=context)


def run_python(code: str, folder: Path) -> str:
    """Runs Python as a script of its own would, and returns what it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def _run_line(line: str, folder: Path, run: Run) -> None:
    if line.startswith("lpff-shards ") and not _SHELL & set(line):
        assert run(shlex.split(line, comments=True)[1:]) == 0, line
        return
    environment = os.environ | {"PATH": f"{shims(folder)}:{os.environ['PATH']}"}
    shell = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def shims(folder: Path) -> Path:
    """A folder for PATH that holds the commands of pages, as the active environment has them."""
    shims = folder.parent / f"{folder.name}-bin"
    if not shims.is_dir():
        shims.mkdir()
        energon = Path(sys.executable).with_name("energon")
        own = {"lpff-shards": f"{sys.executable} -m lpff_shards", "python": sys.executable, "energon": str(energon)}
        for name, words in own.items():
            (shims / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (shims / name).chmod(0o755)
    return shims


def _is_absent(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True
