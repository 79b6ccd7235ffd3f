"""Shell completion, by the protocol that the shells' scripts speak."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from running import run
from test_architecture import HEAVY

from lpff_shards.options.bench import LOADERS
from lpff_shards.schemas.license import USUAL_NAMES

VARIABLE = "_LPFF_SHARDS_COMPLETE"


def _offers(monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """What is offered for the last word of a line, each with its type, as the script for bash is told."""
    words = shlex.split(line)
    if line.endswith(" "):
        words.append("")
    monkeypatch.setenv(VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("lpff-shards ex", ["plain,export"]),
        (
            "lpff-shards export --format ",
            ["plain,wds", "plain,tfrecord", "plain,zip", "plain,parquet", "plain,arrayrecord"],
        ),
        ("lpff-shards export --format=t", ["plain,tfrecord"]),
        ("lpff-shards export --format wds --rebalance l", ["plain,lpff"]),
        ("lpff-shards export --rebal", ["plain,--rebalance"]),
        ("lpff-shards export --license ", [f"plain,{name}" for name in USUAL_NAMES]),
        ("lpff-shards export --license cc-by-s", ["plain,CC-BY-SA-2.0"]),
        ("lpff-shards export --license CC0-1.0,p", ["plain,CC0-1.0,PDM-1.0", "plain,CC0-1.0,Pexels"]),
        ("lpff-shards export --license PDM-1.0,p", ["plain,PDM-1.0,Pexels"]),
        ("lpff-shards export --splits ", ["plain,train", "plain,official"]),
        ("lpff-shards export --lpff /da", ["file,/da"]),
        ("lpff-shards export --exclude ", ["file,"]),
        ("lpff-shards export --format rar --out sh", ["dir,sh"]),
        ("lpff-shards verify ", ["dir,"]),
        ("lpff-shards bench shards --loader ", [f"plain,{name}" for name in LOADERS]),
        ("lpff-shards bench shards --loader torch.s", ["plain,torch.stream"]),
    ],
)
def test_what_is_offered(line: str, offers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _offers(monkeypatch, line) == offers


def test_every_command_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    from lpff_shards.cli import cli

    assert _offers(monkeypatch, "lpff-shards ") == [f"plain,{name}" for name in sorted(cli.commands)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{shell}_source")
    done = run()
    assert done.returncode == 0
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    assert "lpff-shards" in done.stdout


def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "lpff-shards"
    package = Path(__file__).parents[1]
    program.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {sys.executable} -m lpff_shards "$@"\n')
    program.chmod(0o755)
    script = (
        f'eval "$({VARIABLE}=bash_source lpff-shards)"\n'
        "COMP_WORDS=(lpff-shards export --format t) COMP_CWORD=3\n"
        "_lpff_shards_completion lpff-shards\n"
        'echo "${COMPREPLY[@]}"; complete -p lpff-shards'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines() == ["tfrecord", "complete -o nosort -F _lpff_shards_completion lpff-shards"]


def test_completion_loads_nothing_heavy() -> None:
    script = (
        f"import os, sys; os.environ.update({VARIABLE}='bash_complete', COMP_WORDS='lpff-shards bench x --loader ', "
        "COMP_CWORD='4'); from lpff_shards.cli import main\n"
        "try: main()\nexcept SystemExit: print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "plain,torch.loader" in done.stdout
    assert not {name.split(".")[0] for name in done.stdout.split()} & set(HEAVY)


def test_values_of_paths_are_taken_as_they_are() -> None:
    from lpff_shards.cli import cli

    given = ["--format", "wds", "--lpff", "no such ~/folder", "--out", "-"]
    found = cli.commands["export"].make_context("export", given).params
    assert (found["lpff"], found["out"]) == ("no such ~/folder", "-")
