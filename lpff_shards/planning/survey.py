"""Surveying an export's pictures by the first bytes of their files, and notes on what readers support."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from lpff_shards.errors import BadInput
from lpff_shards.formats.pictures.header import PictureHeader, unstorable
from lpff_shards.manifest import Manifest
from lpff_shards.options.export import PictureOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.schemas.archive import misfit
from lpff_shards.schemas.sample import SUFFIXES
from lpff_shards.schemas.text import format_count
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import is_remote
from lpff_shards.sources.io.files import headers, spread

SAMPLED = 1024
"""Files of a source that are opened, evenly spaced, unless all are needed."""
SHOWN = 3
"""Sizes in a note."""
_LONGEST_SUFFIX = len(".jpeg")

Size = tuple[int, int]
K = TypeVar("K", str, Size)


@dataclass(frozen=True, slots=True)
class Survey:
    """Kinds and sizes of pictures, counted in samples, in a plan or in finished shards.

    Attributes:
        kinds: by suffix of the file, such as `png`; sizes: by stored width and height.
        turned: samples whose stored file has an EXIF orientation other than 1.
        opened, files: number of opened files, and of all files; equal in finished shards.
        side: side of most pictures that fit a zip, in pixels; 0 if none fits.
        misfits: opened pictures that do not fit a zip or are too large to be stored.
    """

    kinds: Mapping[str, int]
    sizes: Mapping[Size, int]
    turned: int
    opened: int = 0
    files: int = 0
    side: int = 0
    misfits: tuple[BadInput, ...] = ()

    def notes(self) -> Iterator[str]:
        """Yield limits of readers with such pictures and the option that avoids them, and pictures to leave out."""
        part = "" if self.opened == self.files else f"of {self.opened:,} files, "
        if len(self.kinds) > 1:
            listed = ", ".join(f"{count} .{kind}" for kind, count in most_first(self.kinds).items())
            yield (
                f"the pictures are of several kinds ({listed}) and kept so, and Hugging Face datasets reads the kind "
                "of the first samples only; --image png makes them alike"
            )
        if len(self.sizes) > 1:
            most = list(most_first(self.sizes).items())
            listed = ", ".join(f"{count} of {w}x{h}" for (w, h), count in most[:SHOWN])
            more = f", and {format_count(len(most) - SHOWN, 'other size')}" if len(most) > SHOWN else ""
            square = all(w == h for w, h in self.sizes)
            advice = f"; --resolution {most[0][0][0]} makes them alike" if square else ""
            yield f"the pictures are of several sizes ({part}{listed}{more}): loaders make no batch of them{advice}"
        if self.turned:
            yield (
                f"{part}{self.turned} samples have an EXIF orientation: readers that apply it (Hugging Face datasets, "
                "DALI) turn the picture, and not its camera and landmarks; --image png drops it"
            )
        if self.misfits:
            first = self.misfits[0]
            lost = format_count(len(self.misfits), "picture")
            yield f"{part}{lost} will be left out, such as {first.id}: {first.reason}"


def finished_survey(manifest: Manifest) -> Survey:
    """Return the survey of the pictures of a finished export."""
    sizes = {(int(key.partition("x")[0]), int(key.partition("x")[2])): n for key, n in manifest.sizes.items()}
    return Survey(manifest.kinds, sizes, manifest.turned)


def survey(entries: Entries, picture: PictureOptions, for_zip: bool, crops: bool = False) -> Survey:
    """Open the files of pictures: all for a zip, which requires one size, else a sample, as in buckets.

    Unreadable files are reported when they are written.

    Args:
        crops: whether the pictures are cropped, to the resolution in `picture`.
    """
    sizes: Counter[Size] = Counter()
    kinds: Counter[str] = Counter()
    found: list[tuple[Inventory, int, PictureHeader, bool]] = []
    files = turned = opened = 0
    for number, inventory in enumerate(entries.inventories):
        mine = entries.source == number
        times = np.bincount(entries.row[mine], minlength=len(inventory))
        kept = np.bincount(entries.row[mine & ~entries.flip], minlength=len(inventory))
        rows = np.flatnonzero(times)
        files += len(rows)
        in_bucket = len(inventory) > 0 and is_remote(inventory.blobs[0])
        rows = rows if for_zip and not in_bucket else rows[spread(len(rows), SAMPLED)]
        opened += len(rows)
        for row, header in zip(rows.tolist(), headers(inventory.blobs.take(rows)), strict=True):
            if header is not None:
                stored, is_kept = _stored(header, picture, crops)
                sizes[stored] += int(times[row])
                turned += int(kept[row]) if is_kept and header.orientation != 1 else 0
                found.append((inventory, row, header, bool(times[row] > kept[row])))
        if picture.kind == "keep" and not for_zip:
            names = inventory.blobs.column("path", "uri", "member", "where")
            for name, count in zip(names, times.tolist(), strict=True):
                kinds[_kind(name[-_LONGEST_SUFFIX:])] += count
    fitting = Counter({w: count for (w, h), count in sizes.items() if w == h and not w & (w - 1)})
    side = picture.resolution or max(fitting, key=fitting.__getitem__, default=0)
    misfits = []
    for inventory, row, header, is_mirrored in found:
        if reason := _misfit(header, picture, is_mirrored, side if for_zip else None, crops):
            misfits.append(BadInput(inventory.blobs[row].where, inventory.ids[row], reason))
    if for_zip:
        # Its pictures have one size; its readers read all kinds and ignore EXIF.
        return Survey({}, {}, 0, opened, files, side, tuple(misfits))
    kinds.pop("", None)
    return Survey(dict(+kinds), sizes, turned, opened, files, misfits=tuple(misfits))


def _stored(header: PictureHeader, picture: PictureOptions, crops: bool) -> tuple[Size, bool]:
    """Return the stored size, and whether the file itself is stored."""
    size, side = (header.width, header.height), picture.resolution
    stored = (side, side) if side and (crops or header.width == header.height) else size
    return stored, picture.kind == "keep" and stored == size


@lru_cache(4096)
def _kind(name: str) -> str:
    """Return the kind of a file by the end of its name, empty if unknown; those without suffix are rendered as PNG."""
    kind = name.rpartition(".")[2].lower() if "." in name else "png"
    kind = "jpg" if kind == "jpeg" else kind
    return kind if kind in SUFFIXES.values() else ""


def _misfit(
    header: PictureHeader, picture: PictureOptions, is_mirrored: bool, side: int | None, crops: bool
) -> str | None:
    """Return why a picture cannot be stored; `side` is that of a zip's pictures, None for other formats."""
    stored, is_kept = _stored(header, picture, crops)
    keep, is_resized = picture.kind == "keep", stored != (header.width, header.height)
    kind = header.kind if keep else picture.kind
    reason = unstorable(header, is_mirrored or not is_kept, "" if is_resized else kind)
    if side is None:
        return reason
    return misfit(*stored, header.mode if keep else "RGB", side) or reason


def most_first(counts: Mapping[K, int]) -> dict[K, int]:
    """Sort counts from the largest down, equal ones by key."""
    return dict(sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True))
