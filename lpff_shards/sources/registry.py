"""Create sources from options, and read the files of --num-replicas and --exclude."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import shortened
from lpff_shards.options.mix import MAX_REPLICAS
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.keys import nfc
from lpff_shards.schemas.plugins import load
from lpff_shards.schemas.sources import ADDED, SPECS, added_class
from lpff_shards.schemas.text import choice_hint
from lpff_shards.sources.inventory import Inventory, Source
from lpff_shards.sources.io.json_files import JsonTable, read_table
from lpff_shards.sources.io.tree import file_blob, read_whole

_HOMES = {
    "ffhq": "lpff_shards.sources.ffhq:Ffhq",
    "lpff": "lpff_shards.sources.lpff:Lpff",
    "unsplash_pexels": "lpff_shards.sources.lpff:UnsplashPexels",
    "demo": "lpff_shards.sources.demo:Demo",
}


def sources(options: SourceOptions) -> list[Source]:
    """Return the requested sources in the order in which they are combined; only their own code is loaded.

    Raises:
        ShardsError: a data set is unknown.
    """
    found: list[Source] = []
    own = {one.name: one for one in options.own}
    for name in options.given:
        if name in _HOMES:
            files = (getattr(options, file) for file in SPECS[name].files)
            source = load(f"the data set {name}", _HOMES[name])
            more = {"unpack_to": options.unpack_to, "exact": options.crop is not None}
            more = {} if SPECS[name].is_made_up else more
            found.append(source(getattr(options, name), options.pictures, *files, **more))
        elif name in ADDED:
            found.append(_Added(name, added_class(name)(options.others[name], options.pictures)))
        elif name in own:
            found.append(
                load("own pictures", "lpff_shards.sources.own:Own")(own[name], options.pictures, options.unpack_to)
            )
        else:
            raise ShardsError(f"the data set {name!r} is not known", choice_hint(name, (*SPECS, *ADDED)))
    return found


@dataclass(frozen=True)
class _Added:
    """A source from another package; its exceptions become ShardsError."""

    name: str
    source: Source

    def inventory(self) -> Inventory:
        try:
            found: object = self.source.inventory()
        except ShardsError:
            raise
        except Exception as error:
            message = f"the data set {self.name} cannot be read by {ADDED[self.name]}: {error!r}"
            raise ShardsError(message, "Report it to the authors of that package") from error
        if not isinstance(found, Inventory):
            message = f"inventory() of {ADDED[self.name]} returned {type(found).__name__}, not an Inventory"
            raise ShardsError(message, "Report it to the authors of that package")
        return found


_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_COUNT = msgspec.json.Decoder(int)


def read_terms(options: SourceOptions) -> dict[str, str]:
    """Read the terms of the user's own data sets, by name.

    Raises:
        ShardsError: a file cannot be read, is too large, or is not UTF-8 text.
    """
    found: dict[str, str] = {}
    for own in options.own:
        if own.terms:
            data = read_whole(file_blob("--terms-of", own.terms), _MOST_TERMS)
            try:
                found[own.name] = data.decode("utf-8-sig").strip()
            except UnicodeDecodeError:
                raise ShardsError(f"--terms-of {own.name}={own.terms} is not UTF-8 text", "Give a text file") from None
    return found


_MOST_TERMS = 1 << 20


def read_num_replicas(given: str) -> NDArray[np.int64]:
    """Read replicas by image index, int64 [n].

    Raises:
        ShardsError: the file has another shape, missing an index, or has a number of replicas below one.
    """
    table = read_table(file_blob("--num-replicas", given), "numbers of replicas by image index")
    if not table.rows:
        raise _fault(given, "it is empty")
    counts = np.zeros(len(table.rows), np.int64)
    for index in table.rows:
        if not _INDEX.fullmatch(index):
            raise _fault(given, f"{shortened(index)!r} is not an image index")
        if int(index) >= len(counts):
            missing = next(i for i in range(len(counts)) if str(i) not in table.rows)
            raise _fault(given, f"it lacks index {missing}, but has index {index}")
        counts[int(index)] = _count(table, index, f"index {index}", "replicas", partial(_fault, given))
    return counts


def _count(table: JsonTable, key: str, what: str, unit: str, fault: Callable[[str], ShardsError]) -> int:
    """Return a number of copies in a table; raise its fault if it is none, or out of range."""
    try:
        count = table.get(key, _COUNT)
    except ValueError as error:
        raise fault(f"{what}: {error}") from None
    if count is None or not 1 <= count <= MAX_REPLICAS:
        raise fault(f"{what} has {count} {unit}, not 1 to {MAX_REPLICAS}")
    return count


def read_degree_table(given: str) -> NDArray[np.int64]:
    """Read copies by whole degree of yaw, int64 [361], from -180 to 180 degrees; 0 where the file has none.

    A file without negative degrees is for both sides.

    Raises:
        ShardsError: it is no object of degrees and copies, or one of these is out of range.
    """
    table = read_table(file_blob("--rebalance degree-table", given), "copies by whole degree of yaw")
    counts = np.zeros(361, np.int64)
    both = not any(degree.startswith("-") for degree in table.rows)
    for degree in table.rows:
        if not _DEGREE.fullmatch(degree) or abs(int(degree)) > 180:
            raise _table_fault(given, f"{shortened(degree)!r} is no whole degree from -180 to 180")
        count = _count(table, degree, f"degree {degree}", "copies", partial(_table_fault, given))
        counts[[180 + int(degree), *([180 - int(degree)] * both)]] = count
    return counts


_DEGREE = re.compile(r"-?[0-9]{1,3}")


def _table_fault(given: str, reason: str) -> ShardsError:
    hint = 'Give JSON such as {"0": 1, "1": 1, ..., "90": 4}'
    return ShardsError(f"--rebalance degree-table:{given}: {reason}", hint)


def _fault(given: str, reason: str) -> ShardsError:
    return ShardsError(f"--num-replicas {given}: {reason}", "Give EG3D's published file, image index to replicas")


_COMMENT = re.compile(r"(?:^|\s)#(?:\s.*)?$", re.DOTALL)


def read_exclusions(given: str) -> tuple[str, ...]:
    """Read the distinct lines of the file as NFC.

    Comments and blanks are dropped. A comment is a # at the start of the line or after a space, followed by a space
    or the end of the line: an author may have the name `#1`.

    Raises:
        ShardsError: it cannot be read, or is not UTF-8.
    """
    try:
        text = nfc(read_whole(file_blob("--exclude", given)).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ShardsError(f"--exclude {given} is not UTF-8 text", "Give one id a line") from None
    # Names may contain the other line separators of Unicode.
    lines = (_COMMENT.sub("", line).strip() for line in re.split(r"\r\n|\r|\n", text))
    return tuple(dict.fromkeys(line for line in lines if line))
