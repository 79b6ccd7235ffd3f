"""What is where in a shard, read off the shard itself."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.formats.containers import tar
from lpff_shards.formats.errors import WireError
from lpff_shards.formats.readers import tfrecord, zip
from lpff_shards.formats.readers.base import SampleError
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.outline import Outline
from lpff_shards.schemas.sample import SUFFIXES

Listed = tuple[str, int, int, tuple[str, ...], tuple[int, ...]]
"""A sample: its key, where it starts and ends, the suffixes and the sizes of its members."""


def outline(file: str, shard: memoryview, layout: Layout) -> Outline:
    """The outline of a shard.

    Args:
        file: its name, which tells its format.

    Raises:
        SampleError: it breaks its format.
    """
    listed = list(_tar(shard) if file.endswith(".tar") else _pictures(file, shard, layout))
    lists = {suffixes: number for number, suffixes in enumerate(dict.fromkeys(one[3] for one in listed))}
    return Outline(
        file=file,
        keys=tuple(key for key, *_ in listed),
        offsets=(0, *(end for _, _, end, _, _ in listed)),
        suffixes=tuple(lists),
        members=tuple((lists[suffixes], *sizes) for _, _, _, suffixes, sizes in listed),
    )


def _tar(shard: memoryview) -> Iterator[Listed]:
    key, members = "", list[tar.Member]()
    number = 0
    try:
        for member in tar.members(shard):
            name = member.name.partition(".")[0]
            if members and name != key:
                yield _sample(key, members)
                number, members = number + 1, []
            key = name
            members.append(member)
    except WireError as error:
        raise SampleError(str(error), number, key) from None
    if members:
        yield _sample(key, members)


def _sample(key: str, members: list[tar.Member]) -> Listed:
    suffixes = tuple(member.name.partition(".")[2] for member in members)
    return key, members[0].header, members[-1].end, suffixes, tuple(member.size for member in members)


def _pictures(file: str, shard: memoryview, layout: Layout) -> Iterator[Listed]:
    """Samples of which the picture alone is told: of TFRecords and zips."""
    placed = zip.placed if file.endswith(".zip") else tfrecord.placed
    for sample, start, end in placed(shard, layout):
        yield sample.key, start, end, (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),)
