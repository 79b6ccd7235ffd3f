"""The files of a folder by name, in columns: a million of them take 100 bytes each and no object."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import numpy as np

from lpff_shards.schemas.columns.structs import Structs
from lpff_shards.schemas.columns.texts import Rows, Texts
from lpff_shards.schemas.record import Blob

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Files:
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

    def __contains__(self, name: str) -> bool:
        at = bisect_left(self.names, name)
        return at < len(self) and self.names[at] == name

    def __getitem__(self, name: str) -> Blob:
        if name not in self:
            raise KeyError(name)
        return self.blobs[bisect_left(self.names, name)]

    def pairs(self) -> Iterator[tuple[str, Blob]]:
        """Each name with its blob; to ask for each would take a search each."""
        return zip(self.names, self.blobs, strict=True)

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
