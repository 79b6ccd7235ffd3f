"""An option is declared once, as a field of a frozen dataclass; the command line, its checks and the record derive.

`commandline.options` makes the click option of it, `check` refuses what it does not take,
`exporters.record_options` records those that decide bytes, and `sidecars.card.command` spells them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, get_args

from lpff_shards.options.rules import in_range, one_of, recordable_path

Kind = Literal["word", "text", "whole", "number", "bytes", "file", "folder", "share", "flag", "switch"]


@dataclass(frozen=True, slots=True)
class Option:
    """What is declared of an option.

    Attributes:
        help: for the command line, one or two lines.
        kind: `word` is one of `choices`, `switch` has an opposite (--no-...), `bytes` takes 256MB, `share` I/N.
        default: MISSING if it must be given.
        metavar: name of its value in the help.
        choices: the words that it takes.
        least, most: of a number.
        shown: whether the help prints its default; else the text of `help` contains it.
        repeated: whether it may be given several times.
        bare: what it is without a value, where it may have none.
        decides: whether it decides bytes, and so is recorded.
        offered: words that the shell offers.
    """

    help: str
    kind: Kind
    default: Any
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    least: float = 1
    most: float | None = None
    shown: bool = False
    repeated: bool = False
    bare: int | None = None
    decides: bool = True
    offered: Callable[[], Sequence[str]] | None = None


def option(help: str, kind: Kind, *, default: Any = None, **more: Any) -> Any:
    """A field of an option, see `Option`."""
    return field(default=default, metadata={"option": Option(help, kind, default, **more)})


def word(help: str, words: Any, *, default: str | None = None, **more: Any) -> Any:
    """A field of an option that takes one of the words of a `Literal`; help shows its default, if it has one."""
    return option(help, "word", default=default, choices=get_args(words), shown=default is not None, **more)


def required(help: str, kind: Kind, **more: Any) -> Mapping[str, Option]:
    """The metadata of a required option, for `dataclasses.field`, which type checkers need for it."""
    return {"option": Option(help, kind, MISSING, **more)}


def declared(options: Any) -> Mapping[str, Option]:
    """The options of a dataclass by the names of their fields, in order."""
    return {one.name: one.metadata["option"] for one in fields(options) if "option" in one.metadata}


def file_options(options: Any) -> tuple[str, ...]:
    """The names of those that take the path of a file or data set."""
    return tuple(name for name, one in declared(options).items() if one.kind == "file")


def flag(name: str) -> str:
    """The name of an option on the command line."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def check(options: Any, *left: str) -> None:
    """Refuse values that their options do not take; paths become texts.

    Args:
        left: names of options that are checked otherwise.

    Raises:
        ShardsError: there is one.
    """
    for name, one in declared(options).items():
        value = getattr(options, name)
        if name in left or (value is None and one.default is None):
            continue
        if one.kind == "word":
            one_of(flag(name), value, one.choices)
        elif one.kind in ("whole", "bytes", "number"):
            in_range(flag(name), value, one.least, one.most, whole=one.kind != "number")
        elif one.kind in ("file", "folder"):
            object.__setattr__(options, name, recordable_path(flag(name), value))
