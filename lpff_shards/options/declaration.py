"""An option is declared once, as a field of a frozen dataclass; the command line, its checks and the record derive.

`commandline.options` makes its click option, `check` refuses other values, `exporters.record_options` records those
that decide bytes, and `sidecars.card.command` spells them again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, get_args

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.text import choice_hint
from lpff_shards.schemas.uris import is_uri, of_no_store, parts

Kind = Literal["word", "text", "whole", "number", "bytes", "file", "folder", "share", "flag", "switch"]
_METAVARS = {"whole": "N", "bytes": "SIZE", "file": "FILE", "share": "I/N"}


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of an option.

    Attributes:
        help: for the command line, one or two lines.
        kind: `word` is one of `choices`, `switch` has an opposite (--no-...), `bytes` takes 256MB, `share` I/N.
        default: MISSING if it must be given; bare: its value if it is given without one.
        metavar: name of its value in the help; by default that of its kind.
        least, most: of a number.
        shown: whether the help prints its default; else the text of `help` contains it.
        repeated: whether it may be given several times.
        decides: whether it decides bytes, and so is recorded.
        sparse: whether it is recorded only where it is given, so that it changes no older plan or manifest.
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
    sparse: bool = False
    offered: tuple[str, ...] = ()


def option(help: str, kind: Kind, *, default: Any = None, **more: Any) -> Any:
    """A field of an option, see `Option`."""
    declaration = Option(help, kind, default, **{"metavar": _METAVARS.get(kind), **more})
    return field(default=default, metadata={"option": declaration})


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
    """Refuse values that their options do not take, except of those `left` to other checks; paths become texts."""
    for name, one in declared(options).items():
        value = getattr(options, name)
        if name in left or (value is None and one.default is None):
            continue
        for single in value if one.repeated else (value,):
            if one.kind == "word":
                one_of(flag(name), single, one.choices)
            elif one.kind in ("whole", "bytes", "number"):
                in_range(flag(name), single, one.least, one.most, whole=one.kind != "number")
            elif one.kind in ("file", "folder"):
                object.__setattr__(options, name, recordable_path(flag(name), single))


def one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not on the list."""
    if value not in allowed:
        raise ShardsError(f"{option} {value!r} is not known", choice_hint(str(value), allowed))


def in_range(option: str, value: float | None, least: float, most: float | None = None, whole: bool = True) -> None:
    """Refuse a number that is out of range or, with `whole`, not an integer; None passes."""
    kinds = (int,) if whole else (int, float)
    if value is None or (type(value) in kinds and least <= value and (most is None or value <= most)):
        return
    allowed = f"from {least} to {most}" if most is not None else f"{least} or more"
    raise ShardsError(f"{option} {value} is out of range", f"It takes a {'whole ' if whole else ''}number {allowed}")


def shortened(text: str, most: int = 60) -> str:
    """A text for an error's line, its end left out where it is long."""
    return text if len(text) <= most else f"{text[:most]}..."


def recordable_path(option: str, given: str | os.PathLike[str]) -> str:
    """A path or URI as text that can be recorded."""
    path = os.fspath(given)
    if not path.strip():
        raise ShardsError(f"{option} is empty", "Give a path; was a shell variable unset?")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ShardsError(f"{option} {path} is not UTF-8", "Give it by a path that is, such as a link") from None
    if "\0" in path:
        raise ShardsError(f"{option} {path} is no path: it holds a null character", "Give it without")
    if of_no_store(path):
        raise ShardsError(f"{option} {path} is not supported", "Use a local path, s3://... or gs://...")
    if is_uri(path):
        parts(path)
    return path


def cluster_address(option: str, value: str) -> str:
    """The address of a Ray cluster: HOST:PORT, or auto."""
    if value.startswith("ray://"):
        raise ShardsError(
            f"{option} {value} is for Ray's client; its process is not part of the cluster",
            "Run it on a node with HOST:PORT or auto, or by `ray job submit`",
        )
    if value != "auto" and not re.fullmatch(r"[^\s/:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", value):
        raise ShardsError(f"{option} {value!r} is no address", "It is HOST:PORT, such as 10.0.0.1:6379, or auto")
    return value


By = Literal["key", "id", "photo", "author", "url"]
BY: tuple[str, ...] = get_args(By)
"""Kinds of names of pictures, for `trace --by`."""
_MOST_SHARES = 100_000


@dataclass(frozen=True, slots=True)
class Share:
    """A share of an export: `number`, from 1, of `of` shares."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not (type(self.number) is type(self.of) is int and 1 <= self.number <= self.of <= _MOST_SHARES):
            hint = f"Give I/N with 1 <= I <= N <= {_MOST_SHARES:,}, for example 2/4"
            raise ShardsError(f"--task {self.number}/{self.of} is invalid", hint)

    @classmethod
    def parse(cls, text: str) -> Share:
        """Return the share that a text such as 2/4 names, or raise a ShardsError."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if match is None:
            raise ShardsError(f"--task {text!r} is invalid", "Give I/N with 1 <= I <= N, for example 2/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def tasks(self, count: int) -> range:
        """The tasks of this share among `count`: every N-th, so that shares are of equal size."""
        return range(self.number - 1, count, self.of)
