"""The files of a folder by name, in columns: a million of them take 100 bytes each and no object."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from lpff_shards.columns.structs import Structs
from lpff_shards.columns.texts import Rows, Texts
from lpff_shards.schemas.record import Blob

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Files(Mapping[str, Blob]):
    """Files directly in a folder.

    Attributes:
        names: sorted, each once.
        blobs: where their bytes are, in the same order.
    """

    __slots__ = ("blobs", "names")

    def __init__(self, names: Texts, blobs: Structs[Blob]) -> None:
        self.names, self.blobs = names, blobs

    @classmethod
    def of(cls, files: Iterable[tuple[str, Blob]]) -> Files:
        """A few files, in order."""
        listed = list(files)
        return cls(Texts.of(name for name, _ in listed), Structs.of(blob for _, blob in listed))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Blob:
        at = bisect_left(self.names, name)
        if at == len(self) or self.names[at] != name:
            raise KeyError(name)
        return self.blobs[at]

    def pictures(self) -> Files:
        """Those that are pictures by name."""
        return self.take(np.flatnonzero(np.fromiter(map(is_picture, self.names), bool, len(self))))

    def take(self, rows: Rows) -> Files:
        """Some of them, by ascending rows (int64)."""
        return self if len(rows) == len(self) else Files(self.names.take(rows), self.blobs.take(rows))


NO_FILES = Files.of(())


def is_picture(name: str) -> bool:
    """Whether a file name is a picture's."""
    return name.lower().endswith(PICTURE_SUFFIXES)
