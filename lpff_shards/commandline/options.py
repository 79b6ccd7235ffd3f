"""Commands and options with titled help. The frozen options of `lpff_shards.options` declare most options."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from lpff_shards.errors import ShardsError
from lpff_shards.options import export as options
from lpff_shards.options import mix as mix_options
from lpff_shards.options.bench import BenchOptions
from lpff_shards.options.channels import HELP as CHANNEL_HELP
from lpff_shards.options.declaration import BY, Option, Share, declared, flag, one_of
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.sources import ADDED, known_specs
from lpff_shards.schemas.text import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
TITLE = re.compile(r"^(Usage:|\w.*(?=:$))", re.MULTILINE)
"""Titles of a help text: other lines are indented."""
_TEXTS = Path(__file__).with_name("manuals.txt").read_text("utf-8").split("== ")[1:]
MANUALS = {name: text for name, _, text in (manual.partition("\n") for manual in _TEXTS)}
"""Of each command: its purpose; its line in the list of commands; examples and exit statuses by titles with a colon."""
PURPOSES = tuple(dict.fromkeys(text.partition("\n")[0] for text in MANUALS.values()))[1:]
"""Purposes of commands, in the order of the help."""


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

    def __init__(self, *, name: str, **given: Any) -> None:
        self.purpose, summary, epilog = MANUALS[name].split("\n", 2)
        settings = {"help_option_names": ["-h", "--help"]}
        super().__init__(name=name, context_settings=settings, short_help=summary, epilog=epilog, **given)

    def get_help(self, ctx: click.Context) -> str:
        return TITLE.sub(lambda title: click.style(title[1], bold=True), super().get_help(ctx))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write(self.epilog or "")


class Command(_Titled):
    """A command whose options have titles."""

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


class Verbosity(Enum):
    """What a command prints besides its result: only errors, progress, or also each shard."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


class Choice(click.Choice):  # type: ignore[type-arg]  # generic only since click 8.2
    """One of a list of words; errors suggest the closest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        one_of(param.opts[0] if param else "it", str(value), [str(choice) for choice in self.choices])
        return super().convert(value, param, ctx)


def size(text: str) -> int:
    """Parse a number of bytes: 256MB, 1GiB or 1000000; raise click.BadParameter for other texts.

    K, M, G and T are powers of 1000, with or without B; KiB to TiB of 1024.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(IB|B)?|B)?", text.strip().upper(), re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size; write 256MB, 1GiB or a number of bytes")
    if len(match[1]) > 15:
        raise click.BadParameter(f"{match[1][:15]}... is more bytes than any disk holds")
    step = 1024 if match[3] == "IB" else 1000
    return int(float(match[1]) * step ** ("KMGT".index(match[2]) + 1 if match[2] else 0))


def _path(kind: str, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type=kind)]


def _word(
    words: Sequence[str], listed: bool, _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete words; `listed`: several, separated by commas."""
    before, comma, begun = incomplete.rpartition(",") if listed else ("", "", incomplete)
    taken = before.casefold().split(",")
    left = (word for word in words if word.casefold() not in taken)
    return [CompletionItem(before + comma + word) for word in left if word.casefold().startswith(begun.casefold())]


_FILE, _FOLDER = functools.partial(_path, "file"), functools.partial(_path, "dir")


class AddedOption(ClickOption):
    """The option of a data set that another package adds; its module is loaded when help is printed."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        try:
            self.help = "".join(spec.help for spec in known_specs([self.name or ""]))
        except ShardsError as error:
            self.help = str(error)
        return super().get_help_record(ctx)


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    return lambda command: functools.reduce(lambda done, decorate: decorate(done), reversed(decorators), command)


_TYPES: dict[str, dict[str, Any]] = {
    "whole": {"type": int},
    "number": {"type": float},
    "bytes": {"type": size},
    "share": {"type": Share.parse},
    "file": {"shell_complete": _FILE},
    "folder": {"shell_complete": _FOLDER},
    "flag": {"is_flag": True},
    "switch": {"default": None},
}


def _declared(kind: type, section: str) -> Callable[[F], F]:
    """The options that a frozen dataclass declares, under a title."""
    return _stack(*(_click(name, one, section) for name, one in declared(kind).items()))


def _click(name: str, one: Option, section: str) -> Callable[[F], F]:
    """The click option of a declared one; where its default is not shown, the frozen options fill it in."""
    words = [f"{flag(name)}/{flag(f'no_{name}')}" if one.kind == "switch" else flag(name), name]
    given: dict[str, Any] = {"help": one.help, "metavar": one.metavar, "multiple": one.repeated}
    if one.choices:
        given["type"] = Choice(one.choices)
    elif one.offered:
        given["shell_complete"] = functools.partial(_word, one.offered, one.repeated)
    else:
        given |= _TYPES.get(one.kind, {})
    if one.default is MISSING:
        given["required"] = True
    elif one.shown:
        given |= {"default": one.default, "show_default": True}
    if one.bare is not None:
        given |= {"is_flag": False, "flag_value": one.bare}
    return click.option(*words, cls=ClickOption, section=section, **given)


_runs, _found, _printed = (
    functools.partial(click.option, cls=ClickOption, section=title) for title in ("Run", "Looking", "Messages")
)
path = click.argument("path", shell_complete=_FOLDER)
as_json = _printed("--json", "as_json", is_flag=True, help="Print for machines: JSON, and nothing else, on stdout.")
by = _found("--by", type=Choice(BY), help="Look only among these.  [default: among all]")


def messages(command: Callable[..., None]) -> Callable[..., None]:
    """Add --json, --quiet and --verbose to a command, as `as_json` and `verbosity`."""

    @as_json
    @_printed("-q", "--quiet", is_flag=True, help="Print errors only (and JSON with --json).")
    @_printed("-v", "--verbose", is_flag=True, help="Each shard, where time goes, versions of libraries, on stderr.")
    @functools.wraps(command)
    def wrapper(quiet: bool, verbose: bool, **given: Any) -> None:
        if quiet and verbose:
            raise ShardsError("--quiet and --verbose cannot be used together", "Give one of them")
        command(verbosity=Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL, **given)

    return wrapper


_SECTIONS = {
    options.ExportOptions: "Output",
    SourceOptions: "Sources",
    mix_options.MixOptions: "Mix",
    options.PictureOptions: "Picture",
    options.ShardOptions: "Shards",
    options.RunOptions: "Run",
}
_TAKEN = {"dry_run", "report", "json", "quiet", "verbose", "help", *(n for kind in _SECTIONS for n in declared(kind))}
ADDED_SOURCES = tuple(name for name in ADDED if name not in _TAKEN)
"""Data sets of other packages with an option; those named like another option have none."""
_dry_run = _runs("--dry-run", is_flag=True, help="Print the plan and write nothing.")

export = _stack(
    *(_declared(kind, section) for kind, section in _SECTIONS.items()),
    *(
        click.option(flag(n), n, cls=AddedOption, section="Sources", shell_complete=_FILE, metavar="PATH")
        for n in ADDED_SOURCES
    ),
    _dry_run,
    _runs("--report", shell_complete=_FILE, metavar="FILE",
          help="Write an HTML report too: of what was written, or with --dry-run of the plan."),
)  # fmt: skip
_OTHERS = {"zip_copies", "shuffle", "seed", "update", "allow_missing"}
"""Options that decide which samples there are, and their order."""
_CROPPED = re.compile(r"; with --crop[^.]*|, png with --crop")


def _converting(name: str, one: Option, section: str) -> Callable[[F], F]:
    """The option of `export` as one of `convert`."""
    if name in ("format", "name"):
        text = one.help.replace("  [default: from the sources]", "")
        one = replace(one, help=f"{text}  [default: that of PATH]", default=None)
    return _click(name, replace(one, help=_CROPPED.sub("", one.help)), section)


convert = _stack(
    *(
        _converting(name, one, section)
        for kind, section in _SECTIONS.items() if kind not in (SourceOptions, mix_options.MixOptions)
        for name, one in declared(kind).items() if name not in _OTHERS
    ),
    _dry_run,
)  # fmt: skip
_workers = _runs("--workers", type=int, metavar="N", help="Processes.  [default: every core]")
check = _stack(
    _runs("--deep", is_flag=True, help="Decode every picture and check every camera too."),
    _workers,
)
attach = _stack(
    click.option("--channel", cls=ClickOption, section="Sources", multiple=True,
                 metavar="NAME=PATH[,KIND]", help=CHANNEL_HELP),
    _workers,
)  # fmt: skip
report = _runs("--out", shell_complete=_FILE, metavar="FILE", help="The HTML file.  [default: PATH/report/index.html]")
bench = _declared(BenchOptions, "Reading")
