"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import Picture, Sample
from lpff_shards.wire import npy, tar

SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp", "raw": "image.npy"}


class WebDataset:
    """USTAR shards with fixed headers."""

    end = tar.END

    def encode(self, sample: Sample, layout: Layout) -> list[bytes]:
        pieces: list[bytes] = []
        _add(pieces, sample.key, SUFFIXES[sample.picture.kind], *_picture(sample.picture))
        if layout.packed:
            _add(pieces, sample.key, "mp", _packed(sample))
            return pieces
        if sample.camera is not None:
            _add(pieces, sample.key, "camera.npy", npy.dump(sample.camera))
        if sample.landmarks is not None:
            _add(pieces, sample.key, "landmarks.npy", npy.dump(sample.landmarks))
        _add(pieces, sample.key, "json", msgspec.json.encode(sample.scalars))
        return pieces


def _add(pieces: list[bytes], key: str, suffix: str, *content: bytes) -> None:
    size = sum(map(len, content))
    pieces.append(tar.header(f"{key}.{suffix}", size))
    pieces.extend(content)
    pieces.append(tar.padding(size))


def _picture(picture: Picture) -> tuple[bytes, ...]:
    if picture.kind == "raw":
        return npy.header("|u1", (picture.height, picture.width, 3)), picture.data
    return (picture.data,)


def _packed(sample: Sample) -> bytes:
    content: dict[str, Any] = dict(sample.scalars)
    if sample.camera is not None:
        content["camera"] = sample.camera.tolist()
    if sample.landmarks is not None:
        content["landmarks"] = sample.landmarks.tolist()
    packed: bytes = msgpack.packb(content, use_single_float=True)
    return packed
