"""A format of another package: msgpack messages behind one another, one a sample."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

import msgspec
import numpy as np

from lpff_shards.formats.base import AppendingWriter, Encoded, Format, Sink
from lpff_shards.formats.checks import checked
from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import SUFFIXES, Picture, Sample

_LENGTH = 8


class Lines(Format):
    """Each message has its length before it, 8 bytes, and the picture at its end."""

    name, title, tag = "lines", "files of msgpack messages", "msgpack"
    pattern, glob = r"-[0-9]+\.lines", "-*.lines"

    def filename(self, stem: str, number: int, count: int) -> str:
        return f"{stem}-{number:06d}.lines"

    def loading(self) -> str:
        return "### msgpack\n\n`$file` holds messages, each behind its length in 8 bytes.\n"

    def writer(self, file: str, sink: Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, _encoded)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        at = 0
        try:
            while at < len(shard):
                end = at + _LENGTH + int.from_bytes(shard[at : at + _LENGTH], "little")
                yield checked(_sample(bytes(shard[at + _LENGTH : end])), layout), end
                at = end
        except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
            raise FormatError(str(error)) from None

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        return "a msgpack message"


def _encoded(sample: Sample) -> Encoded:
    content: dict[str, Any] = {"fields": dict(sample.scalars), "kind": sample.picture.kind}
    for name in ("camera", "landmarks"):
        array = getattr(sample, name)
        content[name] = None if array is None else array.tobytes()
    # The picture comes last, so that it is found without the rest.
    message = msgspec.msgpack.encode({**content, "image": sample.picture.data})
    head = len(message).to_bytes(_LENGTH, "little")
    return Encoded([head, message], (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),))


def _sample(message: bytes) -> Sample:
    content = msgspec.msgpack.decode(message, type=dict[str, Any])
    fields = content["fields"]
    picture = Picture(content["kind"], content["image"], fields["width"], fields["height"], fields["mode"])
    camera, landmarks = (
        None if content[name] is None else np.frombuffer(content[name], np.float32) for name in ("camera", "landmarks")
    )
    return Sample(fields["key"], picture, camera, None if landmarks is None else landmarks.reshape(68, 2), fields)
