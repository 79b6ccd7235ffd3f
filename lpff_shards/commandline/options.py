"""The options of the commands by the titles of the help, and their click types. The frozen options document them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from functools import partial
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from lpff_shards.commandline.help import Option
from lpff_shards.errors import ShardsError
from lpff_shards.options import export as options
from lpff_shards.options import mix as mix_options
from lpff_shards.options.declaration import Option as Declared
from lpff_shards.options.declaration import declared, defaults, flag
from lpff_shards.options.rules import BY, Share, one_of
from lpff_shards.schemas.sources import ADDED, known_specs

_POWERS = "KMGT"


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """Bytes, as in 256MB, 1GiB or 1000000: K, M, G and T count by 1000, with or without B; KiB to TiB by 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(IB|B)?|B)?", str(value).strip().upper(), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is not a size; write 256MB, 1GiB or a number of bytes", param, ctx)
        if len(match[1]) > 15:
            self.fail(f"{match[1][:15]}... is more bytes than any disk holds", param, ctx)
        step = 1024 if match[3] == "IB" else 1000
        return int(float(match[1]) * step ** (_POWERS.index(match[2]) + 1 if match[2] else 0))


class ShareText(click.ParamType):  # type: ignore[type-arg]
    """A share of the tasks, as in 2/4."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Share:  # noqa: ARG002
        return value if isinstance(value, Share) else Share.parse(str(value))


class Choice(click.Choice):  # type: ignore[type-arg]  # generic only since click 8.2
    """One of a list of words; a wrong one is told the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        one_of(param.opts[0] if param else "it", str(value), [str(choice) for choice in self.choices])
        return super().convert(value, param, ctx)


class PathText(StringParamType):
    """A path, taken as it was typed: whether it is there, whoever reads it tells. The shell completes it as a path.

    Args:
        folder: whether it can only be a folder, else it may be a file too.
    """

    def __init__(self, *, folder: bool = False) -> None:
        self.kind = "dir" if folder else "file"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What the shell offers for a text begun so."""
        return [CompletionItem(incomplete, type=self.kind)]


class Words(StringParamType):
    """Any text, for which the shell offers words.

    Args:
        words: gives them when they are asked for.
        listed: whether the text may be several words with commas between them.
    """

    def __init__(self, words: Callable[[], Sequence[str]], *, listed: bool = False) -> None:
        self.words = words
        self.listed = listed

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What the shell offers for a text begun so."""
        before, comma, begun = incomplete.rpartition(",") if self.listed else ("", "", incomplete)
        taken = before.casefold().split(",")
        left = (word for word in self.words() if word.casefold() not in taken)
        return [CompletionItem(before + comma + word) for word in left if word.casefold().startswith(begun.casefold())]


class AddedOption(Option):
    """The option of a data set that another package adds; its module is loaded when help is printed."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """What help says of it."""
        try:
            self.help = "".join(spec.help for spec in known_specs([self.name or ""]))
        except ShardsError as error:
            self.help = str(error)
        return super().get_help_record(ctx)


F = TypeVar("F", bound=Callable[..., Any])


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def _titled(section: str) -> Callable[..., Callable[[F], F]]:
    """`click.option` under a title."""
    return partial(click.option, cls=Option, section=section)


def _loaders() -> Sequence[str]:
    from lpff_shards.loaders.bench.options import LOADERS

    return LOADERS


def _declared(kind: type, section: str) -> Callable[[F], F]:
    """The options that a frozen dataclass declares, under a title."""
    given = defaults(kind)
    return _stack(*(_click(name, one, given[name], section) for name, one in declared(kind).items()))


def _click(name: str, one: Declared, default: Any, section: str) -> Callable[[F], F]:
    """The click option of a declared one; where its default is not shown, the frozen options fill it in."""
    words = [flag(name), name]
    given: dict[str, Any] = {"help": one.help, "metavar": one.metavar}
    if default is MISSING:
        given["required"] = True
    elif one.shown:
        given |= {"default": default, "show_default": True}
    if one.kind == "switch":
        words[0] = f"{flag(name)}/{flag(f'no_{name}')}"
        given["default"] = None
    elif one.kind == "flag":
        given["is_flag"] = True
    else:
        given["type"] = _type(one)
    if one.bare is not None:
        given |= {"is_flag": False, "flag_value": one.bare}
    return click.option(*words, cls=Option, section=section, multiple=one.repeated, **given)


def _type(one: Declared) -> Any:
    if one.choices:
        return Choice(one.choices)
    if one.offered:
        return Words(one.offered, listed=one.repeated)
    plain = {"whole": int, "number": float, "bytes": Size(), "share": ShareText(), "file": _file, "folder": _folder}
    return plain.get(one.kind, str)


_file, _folder = PathText(), PathText(folder=True)
_runs = _titled("Run")
_read, _found, _told = _titled("Reading"), _titled("Looking"), _titled("Messages")

path = click.argument("path", type=_folder)
workers = _runs("--workers", type=int, metavar="N", help="Processes.  [default: every core]")
as_json = _told("--json", "as_json", is_flag=True, help="Print for machines: JSON, and nothing else, on stdout.")
by = _found("--by", type=Choice(BY), help="Look only among these.  [default: among all]")
quiet = _told("-q", "--quiet", is_flag=True, help="Print errors only (and JSON with --json).")
verbose = _told("-v", "--verbose", is_flag=True, help="Each shard, where time goes, versions of libraries, on stderr.")
told = _stack(as_json, quiet, verbose)
"""For every command that shows progress."""

output = _declared(options.ExportOptions, "Output")
sources = _stack(
    _declared(options.SourceOptions, "Sources"),
    *(click.option(flag(name), name, cls=AddedOption, section="Sources", type=_file, metavar="PATH") for name in ADDED),
)
mix = _declared(mix_options.MixOptions, "Mix")
picture = _declared(options.PictureOptions, "Picture")
shards = _declared(options.ShardOptions, "Shards")
run = _stack(
    _declared(options.RunOptions, "Run"),
    _runs("--dry-run", is_flag=True, help="Print the plan and write nothing."),
    _runs("--report", type=_file, metavar="FILE",
          help="Write an HTML report too: of what was written, or with --dry-run of the plan."),
)  # fmt: skip
check = _stack(
    _runs("--deep", is_flag=True, help="Decode every picture and check every camera too."),
    workers,
)
report = _runs("--out", type=_file, metavar="FILE", help="The HTML file.  [default: PATH/report/index.html]")
bench = _stack(
    _read("--split", default=mix_options.TRAIN, show_default=True, metavar="NAME", help="Whose samples."),
    _read("--batch-size", type=int, default=32, show_default=True, metavar="N", help="Pictures of a batch."),
    _read("--workers", type=int, multiple=True, metavar="N",
          help="Processes of each loader; repeatable, to compare.  [default: each loader's own]"),
    _read("--loader", "loaders", type=Words(_loaders), multiple=True, metavar="NAME",
          help="This one only, such as torch.loader or webdataset; repeatable."),
    _read("--seconds", type=float, default=5.0, show_default=True, help="How long each loader reads."),
    _read("--mirror", is_flag=True, help="Flip pictures at random while loading."),
)  # fmt: skip
