"""An option that takes one value is given once: the command line drops no value."""

from __future__ import annotations

import click
import pytest
from running import call

from lpff_shards.cli import cli
from lpff_shards.commandline.options import ClickOption

Capsys = pytest.CaptureFixture[str]
Monkeypatch = pytest.MonkeyPatch

OPTIONS = [(name, option) for name, command in cli.commands.items() for option in command.params]
OPTIONS = [(name, option) for name, option in OPTIONS if not isinstance(option, click.Argument)]
ONE_VALUE = [(name, option) for name, option in OPTIONS if not option.multiple and not option.is_flag]
OPPOSITES = [(name, option) for name, option in OPTIONS if option.secondary_opts]
FLAGS = [(name, option) for name, option in OPTIONS if option.is_flag and not option.secondary_opts]
SMALL = ("export", "--format", "wds", "--resolution", 16, "--dry-run", "-q", "--out", "x")


def _id(value: object) -> str:
    return value.opts[0] if isinstance(value, ClickOption) else str(value)


def test_every_option_is_of_the_one_kind() -> None:
    assert all(isinstance(option, ClickOption) for _, option in OPTIONS)
    assert (len(ONE_VALUE) > 35, len(OPPOSITES), len(FLAGS) > 15) == (True, 2, True)


@pytest.mark.parametrize(("command", "option"), ONE_VALUE, ids=_id)
def test_two_values_are_refused(command: str, option: ClickOption, capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    name = option.opts[0]
    for args in ((name, "1", name, "2"), (f"{name}=1", f"{name}=2"), (name, "1", "--json", f"{name}=2")):
        done = call(capsys, monkeypatch, command, *args)
        assert (done.status, done.out) == (2, "")
        assert done.err == f"lpff-shards: {name} was given twice: 1 and 2. Give it once\n"


@pytest.mark.parametrize(("command", "option"), OPPOSITES, ids=_id)
def test_opposites_are_refused(command: str, option: ClickOption, capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    yes, no = option.opts[0], option.secondary_opts[0]
    for args in ((yes, no), (no, yes), (no, yes, no)):
        done = call(capsys, monkeypatch, command, *args)
        assert (done.status, done.out) == (2, "")
        assert done.err == f"lpff-shards: {yes} and {no} cannot be used together. Give one of them\n"


@pytest.mark.parametrize(("command", "option"), [*FLAGS, *OPPOSITES], ids=_id)
def test_a_flag_may_be_repeated(command: str, option: ClickOption) -> None:
    name = option.opts[0]
    needed = {"export": ["--format", "wds", "--out", "x"], "convert": ["x", "--out", "y"], "trace": ["name", "x"]}.get(
        command, ["x"]
    )
    once, twice = (cli.commands[command].make_context(command, [*needed, *[name] * n]).params for n in (1, 2))
    assert once == twice
    assert once[option.name or ""] is True


def test_the_number_of_demo_pictures_may_be_left_out_once(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    done = call(capsys, monkeypatch, *SMALL, "--demo", "--demo", 6)
    assert done.err == "lpff-shards: --demo was given twice: 24 and 6. Give it once\n"
    done = call(capsys, monkeypatch, *SMALL, "--demo", 6, "--demo", 7, "--demo")
    assert done.err == "lpff-shards: --demo was given 3 times: 6, 7 and 24. Give it once\n"
    assert call(capsys, monkeypatch, *SMALL, "--demo").status == 0


def test_options_for_lists_keep_every_value() -> None:
    args = ["x", "--workers", "1", "--workers", "2", "--loader", "source"]
    params = cli.commands["bench"].make_context("bench", args).params
    assert (params["workers"], params["loader"]) == ((1, 2), ("source",))


def test_help_comes_before_the_error(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    done = call(capsys, monkeypatch, "export", "--seed", "1", "--seed", "2", "--help")
    assert done.status == 0
    assert "Usage: lpff-shards export" in done.out
