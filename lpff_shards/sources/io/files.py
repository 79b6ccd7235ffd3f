"""The files of a folder by name, in columns: in a folder of a million they take 100 bytes each."""

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
        blobs: in the same order.
    """

    __slots__ = ("blobs", "names")

    def __init__(self, names: Texts, blobs: Structs[Blob]) -> None:
        self.names, self.blobs = names, blobs

    @classmethod
    def of(cls, files: Iterable[tuple[str, Blob]]) -> Files:
        """Return a few files, in order."""
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
        """Yield each name with its blob, without a search for each."""
        return zip(self.names, self.blobs, strict=True)

    def pictures(self) -> Files:
        """Return the files with names of pictures."""
        return self.take(np.flatnonzero(np.fromiter(map(is_picture, self.names), bool, len(self))))

    def take(self, rows: Rows) -> Files:
        """Return the files of ascending rows (int64)."""
        return self if len(rows) == len(self) else Files(self.names.take(rows), self.blobs.take(rows))


NO_FILES = Files.of(())


def is_picture(name: str) -> bool:
    """Return whether a file name is a picture's."""
    return name.lower().endswith(PICTURE_SUFFIXES)
