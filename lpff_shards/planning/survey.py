"""What an export's pictures are like, by the first bytes of their files, and what readers make of that."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lpff_shards.errors import BadInput
from lpff_shards.formats.pictures.header import PictureHeader, unstorable
from lpff_shards.options.export import PictureOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.schemas.archive import misfit
from lpff_shards.schemas.columns.structs import take
from lpff_shards.schemas.units import counted
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import file_names
from lpff_shards.sources.io.objects import headers, is_remote, spread

SAMPLED = 1024
"""Files of a source that are opened, spread evenly, where nothing depends on all of them."""
SHOWN = 3
"""Sizes that a note names."""
_LONGEST_SUFFIX = len(".jpeg")

Size = tuple[int, int]
K = TypeVar("K", str, Size)


@dataclass(frozen=True, slots=True)
class PictureSurvey:
    """What pictures are like, counted in samples.

    Attributes:
        kinds: by suffix of the file, `png`.
        sizes: by width and height as stored, most first.
        turned: whose stored file has an EXIF orientation other than 1.
    """

    kinds: Mapping[str, int]
    sizes: Mapping[Size, int]
    turned: int

    def notes(self, part: str = "") -> Iterator[str]:
        """What readers cannot do with such pictures, and the option that mends it.

        Args:
            part: says how many of the pictures were counted, where not all were.
        """
        if len(self.kinds) > 1:
            told = ", ".join(f"{count} .{kind}" for kind, count in most_first(self.kinds).items())
            yield (
                f"the pictures are of several kinds ({told}) and kept so, and Hugging Face datasets reads the kind of "
                "the first samples only; --image png makes them alike"
            )
        if len(self.sizes) > 1:
            most = list(most_first(self.sizes).items())
            told = ", ".join(f"{count} of {w}x{h}" for (w, h), count in most[:SHOWN])
            more = f", and {counted(len(most) - SHOWN, 'other size')}" if len(most) > SHOWN else ""
            square = all(w == h for w, h in self.sizes)
            advice = f"; --resolution {most[0][0][0]} makes them alike" if square else ""
            yield f"the pictures are of several sizes ({part}{told}{more}): loaders make no batch of them{advice}"
        if self.turned:
            yield (
                f"{part}{self.turned} samples have an EXIF orientation: readers that apply it (Hugging Face datasets, "
                "DALI) turn the picture, and not its camera and landmarks; --image png drops it"
            )


NO_PICTURES = PictureSurvey({}, {}, 0)


@dataclass(frozen=True, slots=True)
class Survey:
    """The pictures of a plan.

    Attributes:
        pictures: those whose files were opened; none for a zip.
        opened, files: how many these are, of how many.
        side: of most pictures that fit a zip, in pixels; 0 where none does.
        misfits: pictures, of those that were opened, that a zip cannot hold or that are too large to be stored.
    """

    pictures: PictureSurvey
    opened: int
    files: int
    side: int = 0
    misfits: tuple[BadInput, ...] = ()

    def notes(self) -> Iterator[str]:
        """What the user should know before anything is written."""
        part = "" if self.opened == self.files else f"of {self.opened:,} files, "
        yield from self.pictures.notes(part)
        if self.misfits:
            first = self.misfits[0]
            yield f"{part}{counted(len(self.misfits), 'picture')} will be left out, such as {first.id}: {first.reason}"


_Opened = tuple[Inventory, int, PictureHeader, bool]
"""A picture whose file was opened, by its row, and whether its mirror is made."""


def survey(entries: Entries, picture: PictureOptions, for_zip: bool) -> Survey:
    """Opens the files of pictures: of a zip all, since their sizes decide whether it can be written, else a sample.

    Files in buckets are sampled: each would cost a request. What cannot be read is told when it is written.
    """
    sizes: Counter[Size] = Counter()
    found: list[_Opened] = []
    opened = files = turned = 0
    for number, inventory in enumerate(entries.inventories):
        mine = entries.source == number
        times = np.bincount(entries.row[mine], minlength=len(inventory))
        kept = np.bincount(entries.row[mine & ~entries.flip], minlength=len(inventory))
        rows = np.flatnonzero(times)
        files += len(rows)
        rows = rows if for_zip and not _in_bucket(inventory) else rows[spread(len(rows), SAMPLED)]
        opened += len(rows)
        for row, header in zip(rows.tolist(), headers(take(inventory.blobs, rows)), strict=True):
            if header is not None:
                sizes[_stored_size(header, picture)] += int(times[row])
                turned += int(kept[row]) if header.orientation != 1 and _keeps(header, picture) else 0
                found.append((inventory, row, header, bool(times[row] > kept[row])))
    side = picture.resolution or _common_side(sizes)
    misfits = tuple(_misfits(found, picture, side if for_zip else None))
    if for_zip:
        # Its pictures are of one size, and its readers know all kinds and no EXIF.
        return Survey(NO_PICTURES, opened, files, side, misfits)
    kinds = _kinds(entries) if picture.kind == "keep" else {}
    return Survey(PictureSurvey(kinds, sizes, turned), opened, files, misfits=misfits)


def _in_bucket(inventory: Inventory) -> bool:
    return any(map(is_remote, inventory.blobs[:1]))


def _kinds(entries: Entries) -> dict[str, int]:
    """Samples by the suffix of their file."""
    ends: Counter[str] = Counter()
    for number, inventory in enumerate(entries.inventories):
        times = np.bincount(entries.row[entries.source == number], minlength=len(inventory)).tolist()
        for name, count in zip(file_names(inventory.blobs), times, strict=True):
            ends[name[-_LONGEST_SUFFIX:]] += count
    kinds: Counter[str] = Counter()
    for end, count in ends.items():
        kind = posixpath.splitext(end)[1].lower().removeprefix(".")
        # What has no suffix is rendered as PNG.
        kinds[{"jpeg": "jpg", "": "png"}.get(kind, kind)] += count
    return dict(+kinds)


def _stored_size(header: PictureHeader, picture: PictureOptions) -> Size:
    side = picture.resolution
    return (side, side) if side and header.width == header.height else (header.width, header.height)


def _keeps(header: PictureHeader, picture: PictureOptions) -> bool:
    """Whether the file itself is stored."""
    return picture.kind == "keep" and _stored_size(header, picture) == (header.width, header.height)


def _common_side(sizes: Counter[Size]) -> int:
    fitting = Counter({w: count for (w, h), count in sizes.items() if w == h and not w & (w - 1)})
    return fitting.most_common(1)[0][0] if fitting else 0


def _misfits(found: Iterable[_Opened], picture: PictureOptions, side: int | None) -> Iterator[BadInput]:
    """The pictures that cannot be stored.

    Args:
        side: that a zip's pictures have, see `misfit`; None for other formats.
    """
    keep = picture.kind == "keep"
    for inventory, row, header, mirrored in found:
        width, height = _stored_size(header, picture)
        kind = header.kind if keep else picture.kind
        resized = (width, height) != (header.width, header.height)
        reason = unstorable(header, mirrored or not _keeps(header, picture), "" if resized else kind)
        if side is not None:
            reason = misfit(width, height, header.mode if keep else "RGB", side) or reason
        if reason:
            yield BadInput(inventory.blobs[row].where, inventory.ids[row], reason)


def most_first(counts: Mapping[K, int]) -> dict[K, int]:
    """Counts from the largest down, equal ones in an order that depends on nothing else."""
    return dict(sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True))
