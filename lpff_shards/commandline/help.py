"""Help texts: commands by purpose, options under titles, examples by task, exit statuses.

A few lines over click's own formatter, so that neither rich-click nor cloup is needed for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.closest_match import did_you_mean

MAKE, CHECK, LOOK_UP, MEASURE = "Make shards", "Check them", "Look things up", "Measure loading"
PURPOSES = (MAKE, CHECK, LOOK_UP, MEASURE)
"""What commands are for, in the order of the help."""


@dataclass(frozen=True, slots=True)
class Example:
    """A command as it is typed, under what it does; its lines, but the last, end in a backslash."""

    task: str
    command: str


@dataclass(frozen=True, slots=True)
class Manual:
    """What the help of a command says beside its options.

    Attributes:
        purpose: one of `PURPOSES`, under which the command is listed.
        summary: a line for that list.
        examples: by task, in the order of the help.
        statuses: what each exit status of the command means.
    """

    purpose: str
    summary: str
    examples: tuple[Example, ...]
    statuses: Mapping[int, str]


class Formatter(click.HelpFormatter):
    """click's, with bold heads on a terminal."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, click.style((prefix or "Usage: ").rstrip(), bold=True) + " ")

    def write_heading(self, heading: str) -> None:
        # Not under the color: the indentation, which click counts.
        super().write_heading(click.style(heading, bold=True))

    def write_examples(self, examples: tuple[Example, ...]) -> None:
        """Commands under their tasks, their lines as they are."""
        with self.section("Examples"):
            for number, example in enumerate(examples):
                self.write("\n" if number else "")
                self.write(f"{'':{self.current_indent}}{example.task}:\n")
                for line in example.command.splitlines():
                    self.write(f"{'':{self.current_indent + 2}}{line}\n")


class Context(click.Context):
    """click's, with our formatter."""

    formatter_class = Formatter


class Option(click.Option):
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
            ShardsError: the option was given twice, or with its opposite.
        """
        values = opts.get(self.name or "")
        if not self.multiple and isinstance(values, list):
            if not ctx.resilient_parsing:
                self._refuse_more_than_one(values)
            opts = {**opts, self.name or "": values[-1]}
        return super().handle_parse_result(ctx, opts, args)

    def _refuse_more_than_one(self, values: list[Any]) -> None:
        """Refuse a second value. A flag may be repeated."""
        if self.is_flag:
            if len(set(values)) > 1:
                both = " and ".join((self.opts[0], self.secondary_opts[0]))
                raise ShardsError(f"{both} cannot be used together", "Give one of them")
        elif len(values) > 1:
            # A value that was left out is not text.
            told = _listed([value if isinstance(value, str) else str(self.flag_value) for value in values])
            times = "twice" if len(values) == 2 else f"{len(values)} times"
            raise ShardsError(f"{self.opts[0]} was given {times}: {told}", "Give it once")


class Command(click.Command):
    """A command whose help has titled options, examples and exit statuses.

    Args:
        manual: all that its help says beside its options.
    """

    context_class = Context

    def __init__(self, *args: Any, manual: Manual, **given: Any) -> None:
        super().__init__(*args, **{"short_help": manual.summary, **given})
        self.manual = manual

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click's; an error of usage knows its command, whose help the user is sent to."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under their titles; click's own --help goes under the last."""
        rows: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                continue  # The usage names them, and the text above says what they are.
            title = param.section if isinstance(param, Option) else title
            if record := param.get_help_record(ctx):
                rows.setdefault(title, []).append(record)
        for title, own in rows.items():
            with formatter.section(title):
                formatter.write_dl(own)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Examples and exit statuses."""
        assert isinstance(formatter, Formatter)
        formatter.write_examples(self.manual.examples)
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in self.manual.statuses.items()])


class Group(click.Group):
    """The commands, listed by purpose; a wrong name is told the nearest.

    Args:
        examples: shown below them.
    """

    context_class = Context
    command_class = Command

    def __init__(self, *args: Any, examples: tuple[Example, ...], **given: Any) -> None:
        super().__init__(*args, **given)
        self.examples = examples

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """A list for each purpose."""
        commands = [command for command in self.commands.values() if isinstance(command, Command)]
        for purpose in PURPOSES:
            own = [(c.name or "", c.manual.summary) for c in commands if c.manual.purpose == purpose]
            if own:
                with formatter.section(purpose):
                    formatter.write_dl(own)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, and where there are more."""
        assert isinstance(formatter, Formatter)
        formatter.write_examples(self.examples)
        formatter.write(f"\nOptions, more examples and exit statuses: {ctx.command_path} COMMAND --help\n")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name.

        Raises:
            ShardsError: there is no such command.
        """
        name = args[0]
        if name not in self.commands and name[:1] != "-" and not ctx.resilient_parsing:
            hint = f"{did_you_mean(name, self.commands)}See {ctx.command_path} --help"
            raise ShardsError(f"there is no command {name!r}", hint)
        return super().resolve_command(ctx, args)


def no_such_option(error: click.NoSuchOption, top: click.Group) -> ShardsError:
    """The error of an option that a command has not: which commands have it, else the closest that this one has."""
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
