"""The names that the examples of a card are filled in with, and Markdown tables and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from lpff_shards.formats.base import Format
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.options.mix import TRAIN
from lpff_shards.schemas.archive import FORK_LISTS


@dataclass(frozen=True, slots=True)
class Example:
    """One reader's example: code that runs in the data set's folder; `words` stand below it."""

    title: str
    code: str
    language: str = "python"
    words: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """A data set's own names.

    Attributes:
        name, format: of the data set.
        split: the one that the examples load: train where there is one.
        files: the split's shards or zip, in order.
        suffixes: of the pictures, sorted.
        camera, packed: see `schemas.fields.Layout`.
        weighted: whether loaders draw samples by their weight.
        mirrors: whether loaders may flip pictures, since the data set holds no mirrors.
        batch: pictures of a batch; 1 where pictures differ in size.
        alignment: of the pictures.
        side: of all pictures in pixels, 0 where they differ.
        mode: of a zip: the list of names that holds all samples, empty for other formats.
        lists: of a zip: those that LPFF's forks take, with the number of their names.
        listed: of a zip: copies are names in lists, not files.
        copied: of a zip: some pictures have copies that are files.
    """

    name: str
    format: Format
    split: str
    files: tuple[str, ...]
    suffixes: tuple[str, ...]
    camera: bool
    packed: bool
    weighted: bool
    mirrors: bool
    batch: int
    alignment: str
    side: int
    mode: str
    lists: Mapping[str, int]
    listed: bool
    copied: bool

    @property
    def raw(self) -> bool:
        """Whether pictures are stored as pixels."""
        return self.suffixes == ("image.npy",)

    @property
    def shown(self) -> str:
        """What of a batch or sample our loaders' examples print beside the picture."""
        return 'batch["camera"].shape' if self.camera else 'batch["index"].shape'


def names_of(manifest: Manifest, suffixes: Set[str]) -> Names:
    """The names of a data set.

    Args:
        suffixes: of the pictures, as the shards hold them.
    """
    options = manifest.options
    split = TRAIN if TRAIN in manifest.splits else next(iter(manifest.splits))
    return Names(
        name=manifest.name,
        format=get_format(manifest.format),
        split=split,
        files=tuple(shard.file for shard in manifest.shards if shard.split == split),
        suffixes=tuple(sorted(suffixes)),
        camera=manifest.layout.camera,
        packed=manifest.layout.packed,
        weighted=options.get("as") == "weights" and split == TRAIN,
        mirrors=not options.get("mirror"),
        batch=1 if len(manifest.sizes) > 1 else 8,
        alignment=str(options.get("alignment")),
        side=_side(manifest),
        mode=next(iter(manifest.lists), ""),
        lists={name: count for name, count in manifest.lists.items() if name in FORK_LISTS},
        copied=_copies(manifest) and options.get("zip_copies") == "files",
        listed=options.get("zip_copies") == "list" and manifest.samples < next(iter(manifest.lists.values()), 0),
    )


def _copies(manifest: Manifest) -> bool:
    return manifest.options.get("rebalance") != "none" and manifest.options.get("as") == "replicas"


def _side(manifest: Manifest) -> int:
    if len(manifest.sizes) != 1:
        return 0
    width, _, height = next(iter(manifest.sizes)).partition("x")
    return int(width) if width == height else 0


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; its cells are Markdown."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def fenced(code: str, language: str) -> str:
    """Code that nothing inside it can end: the fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}\n"


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Names with their counts, on one line."""
    return ", ".join(f"{name} {count:,}" for name, count in counts)
