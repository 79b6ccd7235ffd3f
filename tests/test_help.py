"""Help: commands by purpose, options under titles, examples that parse, exit statuses."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from running import call

from lpff_shards.cli import cli
from lpff_shards.commandline.options import PURPOSES, Command
from lpff_shards.errors import EXIT_BAD_INPUT, EXIT_DAMAGED, EXIT_INTERRUPTED

Capsys = pytest.CaptureFixture[str]
Monkeypatch = pytest.MonkeyPatch
COMMANDS = {name: command for name, command in cli.commands.items() if isinstance(command, Command)}
MANUALS = [one.epilog or "" for one in (cli, *COMMANDS.values())]
EXAMPLES = re.findall(r"^    (lpff-shards (?:.*\\\n)*.*)$", "".join(MANUALS), re.MULTILINE)
TITLES = ("Output", "Sources", "Mix", "Picture", "Shards", "Run", "Messages", "Examples", "Exit status")


@pytest.mark.parametrize("command", [example.replace("\\\n", "") for example in EXAMPLES])
def test_every_example_parses(command: str) -> None:
    program, name, *args = shlex.split(command)
    assert program == "lpff-shards"
    found = cli.commands[name].make_context(name, args)
    assert found.params
    if name == "export":
        from lpff_shards.cli import _options

        given = {n: v for n, v in found.params.items() if n not in ("dry_run", "report", "as_json", "quiet", "verbose")}
        assert _options(given).sources.given


def test_every_command_has_a_purpose_examples_and_statuses(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    assert set(COMMANDS) == set(cli.commands)
    for name, command in COMMANDS.items():
        assert command.purpose in PURPOSES and command.epilog
        assert call(capsys, monkeypatch, name, "--help").out.endswith(command.epilog)
        examples, statuses = command.epilog.removeprefix("\nExamples:\n").split("\nExit status:\n")
        tasks = re.findall(r"^  (\S.*):\n    lpff-shards ", examples, re.MULTILINE)
        assert tasks == re.findall(r"^  (\S.*):$", examples, re.MULTILINE)
        assert all(f"lpff-shards {name}" in task for task in re.split(r"^  \S.*:$", examples, flags=re.MULTILINE)[1:])
        numbers = [int(line.split()[0]) for line in statuses.splitlines()]
        assert numbers[0] == 0 and set(numbers) <= {0, EXIT_DAMAGED, EXIT_BAD_INPUT, EXIT_INTERRUPTED}
        assert all(re.fullmatch(r"  [0-9 ]{3}  \S.*", line) for line in statuses.splitlines())


def test_no_line_of_help_is_wider_than_a_terminal(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    for args in ((), *((name,) for name in COMMANDS)):
        for line in call(capsys, monkeypatch, *args, "--help").out.splitlines():
            assert len(line) <= 80, line


def test_export_s_options_stand_under_titles(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    shown = call(capsys, monkeypatch, "export", "--help").out
    places = [shown.index(f"\n{title}:\n") for title in TITLES]
    assert places == sorted(places)
    pieces = dict(
        zip(TITLES, (shown[a:b] for a, b in zip(places, [*places[1:], len(shown)], strict=True)), strict=True)
    )
    for title, option in (
        ("Sources", "--ffhq-cameras"),
        ("Mix", "--license"),
        ("Shards", "--seed"),
        ("Run", "--update"),
    ):
        assert f"  {option} " in pieces[title]
    for param in cli.commands["export"].params:
        assert isinstance(param, click.Option)
        assert param.opts[0] in pieces[param.section], param.opts


def test_commands_are_listed_by_purpose(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    shown = call(capsys, monkeypatch, "--help").out
    purposes = [purpose for purpose in PURPOSES if any(c.purpose == purpose for c in COMMANDS.values())]
    places = [shown.index(f"\n{purpose}:\n") for purpose in purposes]
    assert places == sorted(places)
    for name, command in COMMANDS.items():
        own = shown.index(f"\n{command.purpose}:\n")
        assert f"  {name} " in shown[own:].split("\n\n")[0]


@pytest.mark.parametrize("args", [("--format",), ("--shards", "x"), ("--mirror=x",), (), ("extra",)])
def test_errors_of_usage_send_to_the_command_s_help(
    args: tuple[str, ...], capsys: Capsys, monkeypatch: Monkeypatch
) -> None:
    done = call(capsys, monkeypatch, "export", *args)
    assert done.status == 2
    assert done.err.endswith(". See lpff-shards export --help\n")


def test_without_a_command_help_goes_to_stderr(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    done = call(capsys, monkeypatch)
    assert (done.status, done.out) == (2, "")
    assert done.err == call(capsys, monkeypatch, "--help").out


def test_h_is_help_of_a_command_that_was_parsed_alone(capsys: Capsys, monkeypatch: Monkeypatch) -> None:
    # click keeps the option of help that it makes first, whatever the group's context says later.
    cli.commands["index"].make_context("index", ["shards"])
    assert call(capsys, monkeypatch, "index", "-h").status == 0
