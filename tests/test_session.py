"""docs/session.md is what the commands say: they are run here, and the page is compared with what came out.

LPFF_SHARDS_REGENERATE_GOLDEN=1 writes the page anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_datasets import link_all, write_all
from pages import DOCS
from running import run

PAGE = DOCS / "session.md"
HEAD = """# A session

The output of the main commands. `tests/test_session.py` runs them and compares. Only rates, plan digests and the size
of the report, which vary between runs or machines, are replaced by dots. The pictures are those of the built-in
demo, and a few stand-ins for LPFF and FFHQ. A terminal also shows a progress bar.
"""


@dataclass(frozen=True)
class Step:
    """A command, what is said before it, and the exit status that it has."""

    words: str
    command: str
    status: int = 0


EXPORT = "lpff-shards export --format wds --demo 12 --image raw --resolution 64 --shards 4 --out session-shards"
REAL = "--ffhq FFHQ_512.zip --lpff LPFF --ffhq-metadata ffhq-dataset-v2.json"
STEPS = (
    Step("An export of the demo: 12 portraits and their mirrors, in four shards.", EXPORT),
    Step("The same command again writes nothing.", EXPORT),
    Step("A shard is missing, as after a killed run:", "rm session-shards/demo-train-000002.tar"),
    Step("The same command writes only the missing shard.", EXPORT),
    Step("Verify the export.", "lpff-shards verify session-shards"),
    Step(
        "For a damaged byte `verify` names the sample; the exit status is 1.",
        "printf X | dd of=session-shards/demo-train-000001.tar bs=1 seek=20000 conv=notrunc status=none",
    ),
    Step("", "lpff-shards verify session-shards", 1),
    Step("The export's command repairs it.", EXPORT),
    Step(
        "Print the plan of a rebalanced FFHQ and LPFF, and write nothing.",
        f"lpff-shards export --format wds {REAL} --rebalance lpff --image raw --resolution 256 --out none --dry-run",
    ),
    Step("An author withdraws a photo. Find its samples.", "lpff-shards trace 00000005 session-shards"),
    Step("Remove it with its mirror; other shards do not change.", "echo 00000005 > withdrawn.txt"),
    Step("", f"{EXPORT} --exclude withdrawn.txt --update"),
    Step("`trace` reports it as withdrawn.", "lpff-shards trace 00000005 session-shards"),
    Step("Write a report as one HTML page.", "lpff-shards report session-shards"),
    Step("List the licenses of the other pictures.", "grep '^| .CC' session-shards/ATTRIBUTION.md"),
    Step("A wrong path, an unknown value, conflicting options: one line, exit status 2.", ""),
    Step("", "lpff-shards export --format wds --lpff LPFFF --out none", 2),
    Step("", "lpff-shards export --format wds --demo --rebalance unifrom --out none", 2),
    Step("", "lpff-shards export --format wds --demo --shards 4 --shard-size 1MB --out none", 2),
)


def _run(command: str) -> tuple[int, str]:
    """The exit status of a command and what it said: notes and progress come before what is printed at the end."""
    if command.startswith("lpff-shards "):
        done = run(*shlex.split(command)[1:])
    else:
        done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr + done.stdout


def _steady(said: str) -> str:
    """What a command said without what must vary: rates, plan digests, and how often progress was told."""
    said = re.sub(r"^  [\d,]+( of [\d,]+)? samples, .* pictures/s.*\n", "", said, flags=re.MULTILINE)
    said = re.sub(r"[\d,]+ pictures/s, [\d.,]+ MB/s", "... pictures/s, ... MB/s", said)
    said = re.sub(r"(report of .*), [\d.]+ [KMG]B, in", r"\1, ... KB, in", said)
    return re.sub(r"^  plan [0-9a-f]{16}$", "  plan ...", said, flags=re.MULTILINE)


def _recorded() -> str:
    """The page, from commands that are run now."""
    page, shown = HEAD, ""
    for step in STEPS:
        status, said = _run(step.command) if step.command else (0, "")
        assert status == step.status, f"{step.command}\n{said}"
        if step.words and shown:
            page, shown = f"{page}\n```console\n{shown}```\n", ""
        page += f"\n{step.words}\n" if step.words else ""
        shown += f"$ {step.command}\n{_steady(said)}" if step.command else ""
        shown += f"$ echo $?\n{status}\n" if status else ""
    return f"{page}\n```console\n{shown}```\n"


def test_the_session_is_what_the_commands_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(link_all(write_all(tmp_path / "fake_datasets"), tmp_path / "session"))
    page = _recorded()
    if os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page


@pytest.mark.parametrize(
    ("said", "steady"),
    [
        ("  48 samples written, 35 pictures/s, 1.4 MB/s\n", "  48 samples written, ... pictures/s, ... MB/s\n"),
        ("  32 of 48 samples, 9 pictures/s, 0 MB/s\n", ""),
        ("  plan 43c7bc068fbf3faa\n", "  plan ...\n"),
        ("demo: report of 22 samples, 312.8 KB, in x\n", "demo: report of 22 samples, ... KB, in x\n"),
        ("demo: 48 samples in 4 shards, 660.5 KB, in x\n", "demo: 48 samples in 4 shards, 660.5 KB, in x\n"),
    ],
)
def test_only_what_must_vary_is_left_out(said: str, steady: str) -> None:
    assert _steady(said) == steady
