"""Colors and the progress bar: on a terminal alone, and as its environment asks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from running import call, run
from terminals import on_terminal

DEMO = ("export", "--format", "wds", "--demo", 4, "--resolution", 16, "--shards", 2, "--workers", 1)
RED, GREEN, BOLD, END = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"
COLOR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("colors") / "out"
    assert run(*DEMO, "--out", out).returncode == 0
    return out


TOLD = "there is no command 'exprt'. Did you mean export? See lpff-shards --help\n"


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, True),
        ({"TERM": "xterm"}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"CLICOLOR": "0"}, False),
        ({"CLICOLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colors_are_on_where_a_terminal_may_show_them(environment: dict[str, str], on: bool) -> None:
    shown = on_terminal("exprt", environment=environment)
    assert (shown.status, shown.text) == (2, f"{RED}{BOLD}lpff-shards:{END} {TOLD}" if on else f"lpff-shards: {TOLD}")
    assert (BOLD in on_terminal("--help", environment=environment).text) == on


def test_pipes_get_no_colors() -> None:
    assert run("exprt").stderr == f"lpff-shards: {TOLD}"
    assert "\x1b" not in run("--help").stdout


def test_heads_are_bold_on_a_terminal(shards: Path, tmp_path: Path) -> None:
    assert f"{BOLD}Examples{END}:\n" in on_terminal("--help").text
    plan = on_terminal(*DEMO, "--out", shards, "--dry-run")
    assert f"  {BOLD}sources:{END} demo 8\n" in plan.text
    plain = on_terminal(*DEMO, "--out", shards, "--dry-run", environment={"NO_COLOR": "1"})
    assert plain.text == COLOR.sub("", plan.text)
    assert plain.text == run(*DEMO, "--out", shards, "--dry-run").stdout


def test_verdicts_are_green_or_red_on_a_terminal(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f": {GREEN}all whole{END} (" in on_terminal("verify", shards).text
    plain = on_terminal("verify", shards, environment={"NO_COLOR": "yes"})
    assert ": all whole (" in plain.text and "\x1b" not in plain.text
    copy = tmp_path / "damaged"
    shutil.copytree(shards, copy)
    (copy / "demo-train-000001.tar").unlink()
    assert f"{RED}{BOLD}1 fault{END}" in on_terminal("verify", copy).text
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in call(capsys, monkeypatch, "verify", copy).out


def test_json_has_no_colors_on_a_terminal(shards: Path) -> None:
    assert "\x1b" not in on_terminal("verify", "--json", shards).text


@pytest.mark.parametrize(("columns", "rate"), [(40, False), (90, True)])
def test_the_bar_fits_into_a_line(tmp_path: Path, columns: int, rate: bool) -> None:
    shown = on_terminal(*DEMO, "--out", tmp_path / "out", columns=columns)
    assert shown.status == 0
    lines = shown.text.replace("\r", "\n").splitlines()
    last = [line for line in lines if "8/8" in line][-1]
    assert all(len(line) <= columns for line in lines if "/8" in line)
    assert last.startswith("100%|") and " 8/8 [00:0" in last
    assert ("MB/s]" in last) == rate
    assert "\ndemo: 8 samples in 2 shards" in shown.text.rpartition(last)[2]


def test_the_bar_takes_nothing_from_the_environment(tmp_path: Path) -> None:
    settings = {"MININTERVAL": "abc", "GUI": "1", "WRITE_BYTES": "1", "DISABLE": "1", "INITIAL": "5"}
    environment = {f"TQDM_{name}": value for name, value in settings.items()}
    shown = on_terminal(*DEMO, "--out", tmp_path / "out", environment=environment)
    assert shown.status == 0 and " 8/8 [00:0" in shown.text


def test_the_bar_is_there_where_a_terminal_has_columns_and_no_lines(tmp_path: Path) -> None:
    assert " 8/8 [00:0" in on_terminal(*DEMO, "--out", tmp_path / "out", columns=80, lines=0).text


def test_the_bar_ends_before_an_error(tmp_path: Path) -> None:
    from dataset_factories import LPFF_IDS, write_lpff

    root = write_lpff(tmp_path / "lpff", LPFF_IDS, ["eg3d"])
    (root / f"crop/eg3d/{LPFF_IDS[-1]}.png").write_bytes(b"no picture")
    args = ("export", "--format", "wds", "--lpff", root, "--no-shuffle", "--workers", 1, "--out", tmp_path / "out")
    shown = on_terminal(*args)
    assert shown.status == 2
    before, _, after = shown.text.rpartition("\r")
    assert re.match(rf" *[0-9]+%\|.*\n{re.escape(RED + BOLD)}lpff-shards:{re.escape(END)} ", after), before


@pytest.mark.parametrize("options", [("--quiet",), ("--verbose",)])
def test_no_bar_where_quiet_or_verbose(tmp_path: Path, options: tuple[str, ...]) -> None:
    shown = on_terminal(*DEMO, "--out", tmp_path / "out", *options)
    assert "%|" not in shown.text and "\r" not in shown.text
    assert ("demo-train-000001.tar: 4 samples" in shown.text) == (options == ("--verbose",))
    if options == ("--quiet",):
        assert shown.text == ""


def test_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    shown = on_terminal(*DEMO, "--out", tmp_path / "out", environment={"TERM": "dumb"})
    assert "\x1b" not in shown.text and "\r" not in shown.text
    assert "  8 samples written" in shown.text
