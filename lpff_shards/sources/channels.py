"""The files of channels by the id of their picture: of a folder or archive, or the rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import cast

import msgspec
import numpy as np
from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.formats.channels import arrays_of, mode_of
from lpff_shards.formats.errors import FormatError
from lpff_shards.options.channels import GivenChannel
from lpff_shards.schemas.channels import Channel, ChannelKind, Mirror
from lpff_shards.schemas.columns import Structs
from lpff_shards.schemas.keys import nfc
from lpff_shards.schemas.record import OF_MIRROR, Blob, LeftOut
from lpff_shards.schemas.text import alternatives
from lpff_shards.sources.inventory import ChannelFiles, Inventory
from lpff_shards.sources.io.blobs import BlobError
from lpff_shards.sources.io.files import is_picture
from lpff_shards.sources.io.picture_tables import column_of, is_missing, read_picture_table
from lpff_shards.sources.io.tree import file_blob, open_tree, walk

KINDS: tuple[ChannelKind, ...] = ("png", "txt", "npy", "npz", "json")
TABLES, ARCHIVES = (".csv", ".json", ".jsonl"), (".zip", ".rar")
_MIRRORS: Mapping[ChannelKind, Mirror] = {"png": "flip", "txt": "same", "json": "same"}
MIRROR = "_mirror"
"""End of the id of a mirror's own file."""


class TextBlob(Struct, frozen=True, gc=False):
    """Bytes in memory, such as a row of a table."""

    where: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def stamp(self) -> int:
        return int(crc32(self.data))

    def head(self, most: int) -> bytes:
        return self.data[:most]

    def read(self) -> bytes:
        return self.data


@dataclass(frozen=True, eq=False)
class ChannelSource:
    """A channel with its files.

    Attributes:
        where: the folder, archive or table.
        blobs: its files; rows: the row of each by its id: its path without suffix.
        wrapper: the folder with a slash in which an archive holds all files, or empty.
        is_table: whether its files are rows of a table.
    """

    channel: Channel
    where: str
    blobs: Structs[Blob]
    rows: Mapping[str, int]
    wrapper: str = ""
    is_table: bool = False

    def unwrapped(self, sources: Iterable[str], ids: Iterable[str]) -> ChannelSource:
        """Return the channel for pictures; the folder of a data set, or of their ids, is no wrapper."""
        is_theirs = self.wrapper[:-1] in sources or any(id.startswith(self.wrapper) for id in ids)
        return replace(self, wrapper="") if self.wrapper and is_theirs else self

    def named(self, id: str) -> str:
        """Return how the file of an id is called, for errors."""
        return f"row {id}" if self.is_table else f"{id}.{self.channel.kind}"

    def row(self, source: str, id: str) -> int:
        """Return the row of a picture's file, in the folder of its source's name or outside, or -1."""
        names = (f"{folder}{name}" for folder in dict.fromkeys(("", self.wrapper)) for name in (f"{source}/{id}", id))
        return next((self.rows[name] for name in names if name in self.rows), -1)

    def unused(self, used: Iterable[tuple[str, str, Iterable[int]]]) -> str:
        """Return a note on files that are of no picture, or an empty text.

        Args:
            used: data set, id and the rows of files of each picture, perhaps -1.

        Raises:
            ShardsError: a file may be of two pictures, or none is of a picture.
        """
        option, owners, last = f"--channel {self.channel.name}", dict[int, tuple[str, str]](), ""
        for source, id, rows in used:
            last = id
            for row in rows:
                if row >= 0 and (other := owners.setdefault(row, (source, id))) != (source, id):
                    pictures = f"{' of '.join(other[::-1])} or {id} of {source}"
                    message = f"{option}: {self.blobs[row].where} may be of {pictures}"
                    raise ShardsError(message, "Put the files of each data set into a folder with its name")
        if not owners:
            files = ", ".join(list(self.rows)[:2])
            hint = f"They are named by the ids of pictures, such as {last}"
            raise ShardsError(f"{option}={self.where}: none of its files ({files}, ...) is of a picture", hint)
        lone = len(self.blobs) - len(owners)
        return f"{self.where}: {lone:,} of its {len(self.blobs):,} files are of no picture" if lone else ""


def read_channel(given: GivenChannel, unpack_to: str | None = None) -> ChannelSource:
    """List the files of a channel, and read the first to find what all of them hold.

    Raises:
        ShardsError: there are none, of several kinds, or two of one id; or the first is damaged.
    """
    option = f"--channel {given.name}"
    suffix = PurePath(given.path).suffix.lower()
    found = list(_table(option, given.path) if suffix in TABLES else _files(option, given.path, unpack_to))
    kinds = Counter(kind for _, kind, _ in found)
    if len(kinds) != 1 or not kinds.keys() <= {*KINDS}:
        what = f"files .{', .'.join(sorted(kinds))}" if found else "no such files"
        what += f", and a channel is of one kind, {alternatives(f'.{kind}' for kind in KINDS)}"
        raise ShardsError(f"{option}={given.path} contains {what}", "Give a folder or archive of files of one kind")
    rows = {id: number for number, (id, _, _) in enumerate(found)}
    if len(rows) < len(found):
        twice = Counter(id for id, _, _ in found).most_common(1)[0][0]
        raise ShardsError(f"{option}={given.path}: several files are of {twice}", "Keep one of them")
    blobs = Structs.of(blob for _, _, blob in found)
    kind: ChannelKind = found[0][1]
    mirror: Mirror = _MIRRORS.get(kind, given.of_mirrors or "own")
    if given.of_mirrors and mirror != given.of_mirrors:
        raise ShardsError(f"{option}=...,{given.of_mirrors} has no effect on .{kind} files", "It is for NPY and NPZ")
    try:
        data = blobs[0].read()
        arrays = arrays_of(kind, data) if kind in ("npy", "npz") else ()
        mode = mode_of(data) if kind == "png" else ""
    except (BlobError, FormatError) as error:
        raise ShardsError(f"{blobs[0].where}: {error}", "Check the file") from None
    folders = {id.partition("/")[0] if "/" in id else "" for id in rows}
    is_wrapped = suffix in ARCHIVES and len(folders) == 1 and "" not in folders
    channel = Channel(given.name, kind, mirror, given.optional, arrays, mode)
    wrapper = f"{folders.pop()}/" if is_wrapped else ""
    return ChannelSource(channel, given.path, blobs, rows, wrapper, suffix in TABLES)


def _files(option: str, path: str, unpack_to: str | None) -> Iterator[tuple[str, ChannelKind, Blob]]:
    for folder, tree in walk(open_tree(option, path, unpack_to)):
        for name, blob in tree.files().pairs():
            stem, _, kind = name.rpartition(".")
            # Pictures of other kinds are not left out in silence.
            if kind.lower() in KINDS or is_picture(name):
                yield nfc(folder + stem), cast("ChannelKind", kind.lower()), blob


def _table(option: str, path: str) -> Iterator[tuple[str, ChannelKind, Blob]]:
    """Yield the rows of a table: texts if it has one column besides that of the ids, else JSON objects."""
    table = read_picture_table(file_blob(option, path), PurePath(path).name.lower(), "", "value")
    if table.twice:
        raise ShardsError(f"{option}={path}: several rows are of {min(table.twice)}", "Keep one of them")
    names = dict.fromkeys(name for row in table.rows.values() for name in row if name and name not in table.naming)
    columns = {name: [row.get(name) for row in table.rows.values()] for name in names}
    # Cells of CSV are texts: a column of numbers is one of numbers.
    is_csv = path.lower().endswith(".csv")
    typed = {name: column_of(cells, single=False) if is_csv else None for name, cells in columns.items()}
    columns |= {name: column.tolist() for name, column in typed.items() if isinstance(column, np.ndarray)}
    is_text = len(columns) == 1 and all(isinstance(cell, str | None) for cell in next(iter(columns.values())))
    for number, (id, given) in enumerate(table.rows.items()):
        row = {name: None if is_missing(given.get(name)) else cells[number] for name, cells in columns.items()}
        text = next(iter(row.values()), None) or "" if is_text else ""
        data = str(text).encode() if is_text else msgspec.json.encode(row)
        yield id, "txt" if is_text else "json", TextBlob(f"{path}: row {id}", data)


def with_channels(
    inventories: Sequence[Inventory], channels: Sequence[ChannelSource], mirrors: bool
) -> list[Inventory]:
    """Return inventories whose pictures have the files of channels; those without one that they need are left out.

    Args:
        mirrors: whether mirrors of pictures are made.

    Raises:
        ShardsError: a file may be of pictures of two data sets, or no picture has one.
    """
    found = list(inventories)
    names = [inventory.source for inventory in inventories]
    for channel in channels:
        channel = channel.unwrapped(names, (id for one in found for id in one.ids))  # noqa: PLW2901
        columns = [_matched(one, channel) for one in found]
        note = channel.unused(
            (one.source, id, rows)
            for one, files in zip(found, columns, strict=True)
            for id, *rows in zip(one.ids, files.own.tolist(), files.mirror.tolist(), strict=True)
        )
        found = [_attached(one, channel, own, mirrors) for one, own in zip(found, columns, strict=True)]
        if note:
            found[0] = replace(found[0], notes=(*found[0].notes, note))
    return found


def _matched(inventory: Inventory, channel: ChannelSource) -> ChannelFiles:
    rows = (channel.row(inventory.source, id) for id in inventory.ids)
    mirrors = (channel.row(inventory.source, id + MIRROR) for id in inventory.ids)
    count = len(inventory)
    return ChannelFiles(channel.blobs, np.fromiter(rows, np.int64, count), np.fromiter(mirrors, np.int64, count))


def _attached(inventory: Inventory, source: ChannelSource, files: ChannelFiles, mirrors: bool) -> Inventory:
    """Return an inventory with the files of a channel, and with pictures that lack one among its problems."""
    channel = source.channel
    inventory = replace(inventory, channels={**inventory.channels, channel.name: files})
    is_own = channel.mirror == "own"
    lacks_own = ~inventory.is_mirror & (files.own < 0)
    lacks_mirror = (inventory.is_mirror | mirrors) & (files.mirror < 0) & (is_own | (files.own < 0))
    lost = np.flatnonzero(lacks_own | lacks_mirror) if not channel.optional else np.zeros(0, np.int64)
    if not len(lost):
        return inventory
    if is_own and not lacks_own.any() and not (files.mirror >= 0).any():
        hint = (
            f"Give ID{MIRROR}.{channel.kind} for each, or write ,same or ,flip-last-axis after the path, or --no-mirror"
        )
        raise ShardsError(f"--channel {channel.name}: the mirrors have no files, and arrays cannot be mirrored", hint)
    problems = []
    for row in lost.tolist():
        id, of = inventory.ids[row], OF_MIRROR * bool(inventory.is_mirror[row])
        name = source.named(f"{id}{MIRROR}" if lacks_mirror[row] and not lacks_own[row] else id)
        problems.append(LeftOut(source.where, id + of, f"it has no {channel.name}: there is no {name}"))
    kept = inventory.take(np.delete(np.arange(len(inventory)), lost))
    return replace(
        kept,
        lost_mirrors=kept.lost_mirrors | {inventory.ids[row] for row in lost.tolist() if inventory.is_mirror[row]},
        problems=(*kept.problems, *problems),
        problem_credits=(*kept.problem_credits, *inventory.credits.take(lost)),
    )
