"""The options of the commands, by the titles of the help. The frozen options of `lpff_shards.options` document them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from enum import Enum
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from lpff_shards.commandline.help import ClickOption
from lpff_shards.errors import ShardsError
from lpff_shards.options import export as options
from lpff_shards.options import mix as mix_options
from lpff_shards.options.bench import BenchOptions
from lpff_shards.options.declaration import BY, Option, Share, declared, flag, one_of
from lpff_shards.schemas.sources import ADDED, known_specs

F = TypeVar("F", bound=Callable[..., Any])
Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


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


def _paths(kind: str) -> Offer:
    return lambda _ctx, _param, incomplete: [CompletionItem(incomplete, type=kind)]


def _words(words: Callable[[], Sequence[str]], listed: bool) -> Offer:
    """Complete words; `listed`: several, separated by commas."""

    def offer(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, begun = incomplete.rpartition(",") if listed else ("", "", incomplete)
        taken = before.casefold().split(",")
        left = (word for word in words() if word.casefold() not in taken)
        return [CompletionItem(before + comma + word) for word in left if word.casefold().startswith(begun.casefold())]

    return offer


_FILE, _FOLDER = _paths("file"), _paths("dir")


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
        given["shell_complete"] = _words(one.offered, listed=one.repeated)
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
    options.SourceOptions: "Sources",
    mix_options.MixOptions: "Mix",
    options.PictureOptions: "Picture",
    options.ShardOptions: "Shards",
    options.RunOptions: "Run",
}
_TAKEN = {"dry_run", "report", "json", "quiet", "verbose", "help", *(n for kind in _SECTIONS for n in declared(kind))}
ADDED_SOURCES = tuple(name for name in ADDED if name not in _TAKEN)
"""Data sets of other packages with an option; those named like another option have none."""

export = _stack(
    *(_declared(kind, section) for kind, section in _SECTIONS.items()),
    *(
        click.option(flag(n), n, cls=AddedOption, section="Sources", shell_complete=_FILE, metavar="PATH")
        for n in ADDED_SOURCES
    ),
    _runs("--dry-run", is_flag=True, help="Print the plan and write nothing."),
    _runs("--report", shell_complete=_FILE, metavar="FILE",
          help="Write an HTML report too: of what was written, or with --dry-run of the plan."),
)  # fmt: skip
check = _stack(
    _runs("--deep", is_flag=True, help="Decode every picture and check every camera too."),
    _runs("--workers", type=int, metavar="N", help="Processes.  [default: every core]"),
)
report = _runs("--out", shell_complete=_FILE, metavar="FILE", help="The HTML file.  [default: PATH/report/index.html]")
bench = _declared(BenchOptions, "Reading")
