"""Commands and options with titled help; options that are given once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.text import did_you_mean

PURPOSES = MAKE, CHECK, LOOK_UP, MEASURE = "Make shards", "Check them", "Look things up", "Measure loading"
"""Purposes of commands, in the order of the help."""
TITLE = re.compile(r"^(Usage:|\w.*(?=:$))", re.MULTILINE)
"""Titles of a help text: other lines are indented."""
_TEXTS = Path(__file__).with_name("manuals.txt").read_text("utf-8").split("== ")[1:]
MANUALS = {name: text for name, _, text in (manual.partition("\n") for manual in _TEXTS)}
"""Of each command: its line in the list of commands; examples by task and exit statuses. Titles end in a colon."""


class ClickOption(click.Option):
    """An option that help lists under the title `section`, and that is given once unless it is `multiple`."""

    def __init__(self, *args: Any, section: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.section = section

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        # The parser collects every value: click's own keeps only the last one.
        multiple, self.multiple = self.multiple, True
        super().add_to_parser(parser, ctx)
        self.multiple = multiple

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Process the one value; raise ShardsError for several, or a flag with its opposite. A flag may be repeated."""
        name = self.name or ""
        values = opts.get(name)
        if isinstance(values, list) and not self.multiple:
            if ctx.resilient_parsing:
                pass
            elif self.is_flag and len(set(values)) > 1:
                both = f"{self.opts[0]} and {self.secondary_opts[0]}"
                raise ShardsError(f"{both} cannot be used together", "Give one of them")
            elif not self.is_flag and len(values) > 1:
                # An omitted value is not text.
                shown = _listed([value if isinstance(value, str) else str(self.flag_value) for value in values])
                times = "twice" if len(values) == 2 else f"{len(values)} times"
                raise ShardsError(f"{self.opts[0]} was given {times}: {shown}", "Give it once")
            opts = {**opts, name: values[-1]}
        return super().handle_parse_result(ctx, opts, args)


class _Titled(click.Command):
    """A command whose help has bold titles and ends with its manual."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"context_settings": {"help_option_names": ["-h", "--help"]}, **given})

    def get_help(self, ctx: click.Context) -> str:
        return TITLE.sub(lambda title: click.style(title[1], bold=True), super().get_help(ctx))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write(self.epilog or "")


class Command(_Titled):
    """A command with a purpose of `PURPOSES` and a text of `MANUALS`."""

    def __init__(self, *, name: str, purpose: str, **given: Any) -> None:
        summary, _, epilog = MANUALS[name].partition("\n")
        super().__init__(name=name, short_help=summary, epilog=epilog, **given)
        self.purpose = purpose

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Errors of usage name the command for the hint.
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for param in self.get_params(ctx):
            title = param.section if isinstance(param, ClickOption) else title
            # The text above describes the arguments.
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                rows.setdefault(title, []).append(record)
        for title, own in rows.items():
            with formatter.section(title):
                formatter.write_dl(own)


class Group(_Titled, click.Group):
    """The commands, listed by purpose."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for purpose in PURPOSES:
            own = [c for c in self.commands.values() if isinstance(c, Command) and c.purpose == purpose]
            with formatter.section(purpose):
                formatter.write_dl([(command.name or "", command.short_help or "") for command in own])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; raise ShardsError with the closest name if it does not exist."""
        name = args[0]
        if name not in self.commands and name[:1] != "-" and not ctx.resilient_parsing:
            hint = f"{did_you_mean(name, self.commands)}See {ctx.command_path} --help"
            raise ShardsError(f"there is no command {name!r}", hint)
        return super().resolve_command(ctx, args)


def no_such_option(error: click.NoSuchOption, top: click.Group) -> ShardsError:
    """Return the error for an unknown option: the commands that have it, else the closest option of this one."""
    owners = [name for name, command in top.commands.items() if error.option_name in _names(command)]
    command, path = (error.ctx.command, error.ctx.command_path) if error.ctx else (top, top.name)
    near = did_you_mean(error.option_name, _names(command))
    hint = f"It is an option of {_listed(owners)}. " if owners else near
    return ShardsError(f"there is no option {error.option_name}", f"{hint}See {path} --help")


def _names(command: click.Command) -> list[str]:
    return [name for param in command.params for name in (*param.opts, *param.secondary_opts)]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
