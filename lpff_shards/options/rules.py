"""Checks that options share: one of a list, in a range, a path that can be recorded; shares; fields to trace by."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.closest_match import choice_hint
from lpff_shards.schemas.uris import is_uri, of_no_store, parts


def one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    """Refuses a word that is not on the list."""
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


MOST = 100_000


@dataclass(frozen=True, slots=True)
class Share:
    """The I-th of N shares.

    Attributes:
        number: from 1.
        of: how many there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not (type(self.number) is type(self.of) is int and 1 <= self.number <= self.of <= MOST):
            raise ShardsError(
                f"--task {self.number}/{self.of} is invalid", f"Give I/N with 1 <= I <= N <= {MOST:,}, for example 2/4"
            )

    @classmethod
    def parse(cls, text: str) -> Share:
        """The share that a text such as 2/4 names.

        Raises:
            ShardsError: it names none.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if match is None:
            raise ShardsError(f"--task {text!r} is invalid", "Give I/N with 1 <= I <= N, for example 2/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def tasks(self, count: int) -> range:
        """The tasks of this share among `count`: every N-th, so that shares are of equal size."""
        return range(self.number - 1, count, self.of)
