"""docs/command-line.md is true: its tables are the code's, its commands run, its errors are what is said."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from running import call, run, wait_for

from lpff_shards.cli import cli
from lpff_shards.commandline.options import PURPOSES, Command
from lpff_shards.errors import EXIT_BAD_INPUT, EXIT_DAMAGED, EXIT_INTERRUPTED

TEXT = (PROJECT / "docs/command-line.md").read_text()
README = (PROJECT / "README.md").read_text()
SMALL = ("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--no-mirror")


def _between(name: str) -> str:
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", TEXT, re.DOTALL)
    return found


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.strip().splitlines()[2:]]


def test_the_readme_leads_here() -> None:
    assert "(docs/command-line.md)" in README


def test_commands_are_the_code_s() -> None:
    commands = [command for command in cli.commands.values() if isinstance(command, Command)]
    ordered = sorted(commands, key=lambda command: PURPOSES.index(command.purpose))
    expected = [[f"`{c.name}`", c.purpose, c.short_help] for c in ordered]
    assert _rows(_between("commands")) == expected


def test_statuses_are_the_code_s() -> None:
    rows = _rows(_between("statuses"))
    assert [int(status) for status, _ in rows] == [0, EXIT_DAMAGED, EXIT_BAD_INPUT, EXIT_INTERRUPTED]
    assert all(meaning for _, meaning in rows)


def test_commands_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", TEXT.partition("## By task")[2], re.DOTALL)
    commands = [command for block in blocks for line in block.splitlines() for command in line.split("&&")]
    assert len(commands) == 9
    for command in commands:
        program, *args = command.split()
        assert program == "lpff-shards"
        done = call(capsys, monkeypatch, *args)
        assert done.status == 0, done.err
        assert not ("--quiet" in args and done.out + done.err)
        assert "--json" not in args or json.loads(done.out)


def test_errors_are_what_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told = re.findall(r"\$ lpff-shards (.*)\n(.*\n)", _between("wrong"))
    assert len(told) == 5
    for command, error in told:
        assert call(capsys, monkeypatch, *command.split()).err == error


def test_every_option_that_is_named_exists() -> None:
    known = {o for c in cli.commands.values() for p in c.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - known <= {"--rebalence"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_line(shell: str) -> None:
    (line,) = re.findall(rf"\| {shell}.*? \| `(.*?)` \|", TEXT)
    assert f"_LPFF_SHARDS_COMPLETE={shell}_source lpff-shards" in line


def test_status_0_is_done(tmp_path: Path) -> None:
    assert run(*SMALL, "--out", tmp_path / "out").returncode == 0
    assert run("verify", tmp_path / "out").returncode == 0


def test_status_1_is_damage(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*SMALL, "--out", out).returncode == 0
    next(out.glob("*.tar")).unlink()
    assert run("verify", out).returncode == EXIT_DAMAGED


def test_status_1_is_an_export_that_cannot_be_finished(tmp_path: Path) -> None:
    limit = (
        f"ulimit -f 1; {sys.executable} -m lpff_shards {' '.join(map(str, SMALL))} --workers 1 --out {tmp_path / 'o'}"
    )
    done = subprocess.run(["bash", "-c", limit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("lpff-shards: ")) == (EXIT_DAMAGED, 1), done.stderr


@pytest.mark.parametrize("args", [("verify", "nowhere"), ("export",), (*SMALL, "--seed", "-1", "--out", "x"), ("x",)])
def test_status_2_is_bad_input_or_options(args: tuple[object, ...]) -> None:
    assert run(*args).returncode == EXIT_BAD_INPUT


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_status_130_is_stopped(sent: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("export", "--format", "wds", "--demo", "2000", "--shards", "500", "--out", str(out), "--workers", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "lpff_shards", *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: list(out.glob("*.tar")))
    process.send_signal(sent)
    printed, told = process.communicate(timeout=30)
    assert (process.returncode, printed) == (EXIT_INTERRUPTED, "")
    assert told.endswith("lpff-shards: stopped. Finished shards are kept: run the same command again to go on\n")
