"""Commands and options with titled help; options that may be given once.

Written here: to import cloup or rich-click takes longer than our whole help does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.text import did_you_mean

PURPOSES = MAKE, CHECK, LOOK_UP, MEASURE = "Make shards", "Check them", "Look things up", "Measure loading"
"""What commands are for, in the order of the help."""
TITLE = re.compile(r"^(Usage:|\w.*(?=:$))", re.MULTILINE)
"""A title in a help text: all else is indented."""


class ClickOption(click.Option):
    """An option that help lists under a title, and that is given once unless it is `multiple`.

    Args:
        section: the title.
    """

    def __init__(self, *args: Any, section: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.section = section

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Make the parser collect every value: click's own keeps the last one and drops the others."""
        multiple, self.multiple = self.multiple, True
        super().add_to_parser(parser, ctx)
        self.multiple = multiple

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Process the one value that was given.

        Raises:
            ShardsError: the option was given twice, or with its opposite. A flag may be repeated.
        """
        name = self.name or ""
        values = opts.get(name)
        if isinstance(values, list) and not self.multiple:
            if self.is_flag and len(set(values)) > 1 and not ctx.resilient_parsing:
                both = f"{self.opts[0]} and {self.secondary_opts[0]}"
                raise ShardsError(f"{both} cannot be used together", "Give one of them")
            if not self.is_flag and len(values) > 1 and not ctx.resilient_parsing:
                # A value that was left out is not text.
                shown = _listed([value if isinstance(value, str) else str(self.flag_value) for value in values])
                times = "twice" if len(values) == 2 else f"{len(values)} times"
                raise ShardsError(f"{self.opts[0]} was given {times}: {shown}", "Give it once")
            opts = {**opts, name: values[-1]}
        return super().handle_parse_result(ctx, opts, args)


class _Titled(click.Command):
    """A command whose help has bold titles and ends with a text of `manuals`."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"context_settings": {"help_option_names": ["-h", "--help"]}, **given})

    def get_help(self, ctx: click.Context) -> str:
        return TITLE.sub(lambda title: click.style(title[1], bold=True), super().get_help(ctx))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write(self.epilog or "")


class Command(_Titled):
    """A command with a purpose; its help lists options under titles.

    Args:
        purpose: one of `PURPOSES`, under which the command is listed.
        manual: a text of `manuals`, whose first line is for that list.
    """

    def __init__(self, *args: Any, purpose: str, manual: str, **given: Any) -> None:
        summary, _, epilog = manual.partition("\n")
        super().__init__(*args, **{"short_help": summary, "epilog": epilog, **given})
        self.purpose = purpose

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; errors of usage name the command for the hint."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their titles; click's own --help goes under the last."""
        rows: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for param in self.get_params(ctx):
            title = param.section if isinstance(param, ClickOption) else title
            # The usage names arguments, and the text above says what they are.
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                rows.setdefault(title, []).append(record)
        for title, own in rows.items():
            with formatter.section(title):
                formatter.write_dl(own)


class Group(_Titled, click.Group):
    """The commands, listed by purpose; a wrong name gets the closest right one."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for purpose in PURPOSES:
            with formatter.section(purpose):
                formatter.write_dl([(name, own.short_help or "") for name, own in self.of(purpose).items()])

    def of(self, purpose: str) -> dict[str, click.Command]:
        """Return the commands of a purpose by name."""
        return {n: own for n, own in self.commands.items() if isinstance(own, Command) and own.purpose == purpose}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name.

        Raises:
            ShardsError: the command does not exist.
        """
        name = args[0]
        if name not in self.commands and name[:1] != "-" and not ctx.resilient_parsing:
            hint = f"{did_you_mean(name, self.commands)}See {ctx.command_path} --help"
            raise ShardsError(f"there is no command {name!r}", hint)
        return super().resolve_command(ctx, args)


def no_such_option(error: click.NoSuchOption, top: click.Group) -> ShardsError:
    """Return the error for an unknown option: the commands that have it, else the closest option of this one."""
    owners = [name for name, command in top.commands.items() if error.option_name in _spellings(command)]
    near = f"Did you mean {error.possibilities[0]}? " if error.possibilities else ""
    hint = f"It is an option of {_listed(owners)}. " if owners else near
    path = error.ctx.command_path if error.ctx else top.name
    return ShardsError(f"there is no option {error.option_name}", f"{hint}See {path} --help")


def _listed(names: Sequence[str]) -> str:
    """As in a sentence: a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _spellings(command: click.Command) -> list[str]:
    """Every spelling of a command's options."""
    return [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
