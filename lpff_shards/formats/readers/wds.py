"""Samples of a WebDataset shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from lpff_shards.formats.base import SampleError
from lpff_shards.formats.containers import npy, tar
from lpff_shards.formats.errors import WireError
from lpff_shards.formats.readers.checks import Found, checked, pixels
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import FIELDS, Layout
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.sample import FILE_KINDS, SUFFIXES, Picture, Sample


def samples(shard: memoryview, layout: Layout) -> Iterator[Sample]:
    """The samples of a tar.

    Raises:
        SampleError: at the first that breaks the format or the schema.
    """
    number, key = 0, ""
    parts: dict[str, memoryview] = {}
    last = "mp" if layout.packed else "json"
    try:
        for member in tar.members(shard):
            name, _, suffix = member.name.partition(".")
            if parts and (name != key or suffix in parts):
                raise WireError(f"its members are {', '.join(parts)}, then {member.name}")
            key = name
            parts[suffix] = shard[member.offset : member.offset + member.size]
            if suffix == last:
                yield checked(_sample(key, parts, layout), layout)
                number, key, parts = number + 1, "", {}
        if parts:
            raise WireError(f"its members are {', '.join(parts)}; {last} is missing")
    except WireError as error:
        raise SampleError(str(error), number, key) from None


def _sample(key: str, parts: dict[str, memoryview], layout: Layout) -> Sample:
    expected = ["mp"] if layout.packed else [*_arrays(layout), "json"]
    kind, *rest = parts
    if rest != expected or (kind == SUFFIXES["raw"]) != layout.raw:
        raise WireError(f"its members are {', '.join(parts)}; behind the picture {', '.join(expected)} are due")
    content = _packed(parts["mp"]) if layout.packed else _plain(parts)
    camera, landmarks = content.pop("camera", None), content.pop("landmarks", None)
    scalars = {f.name: content[f.name] for f in FIELDS if f.name in content}
    if len(scalars) != len(content):
        raise WireError(f"it has fields that the schema lacks: {', '.join(sorted(content.keys() - scalars.keys()))}")
    picture = _picture(kind, parts[kind], scalars)
    return Sample(key, picture, camera, landmarks, scalars)


def _arrays(layout: Layout) -> list[str]:
    return ["camera.npy"] * layout.camera + ["landmarks.npy"] * layout.landmarks


def _plain(parts: dict[str, memoryview]) -> dict[str, Any]:
    try:
        content: dict[str, Any] = msgspec.json.decode(parts["json"], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"its JSON is damaged: {error}") from None
    for name in ("camera", "landmarks"):
        if f"{name}.npy" in parts:
            content[name] = npy.load(parts[f"{name}.npy"])
    return content


def _packed(data: memoryview) -> dict[str, Any]:
    try:
        content = msgspec.msgpack.decode(data, type=dict[str, Any])
        for name, shape in (("camera", (CAMERA_NUMBERS,)), ("landmarks", (LANDMARKS, 2))):
            if name in content:
                content[name] = np.array(content[name], np.float32).reshape(shape)
    except (ValueError, TypeError, OverflowError, RecursionError, msgspec.DecodeError) as error:
        raise WireError(f"its msgpack is damaged: {error}") from None
    return content


def _picture(kind: str, data: memoryview, scalars: dict[str, Any]) -> Picture:
    if kind == SUFFIXES["raw"]:
        return pixels(npy.load(data), scalars)
    if kind not in FILE_KINDS:
        raise WireError(f"its picture is a .{kind}")
    return Picture(
        FILE_KINDS[kind], bytes(data), scalars.get("width", 0), scalars.get("height", 0), scalars.get("mode", "")
    )


def members(shard: memoryview) -> Iterator[Found]:
    """What a tar holds, a sample of members of one key after the other; only the tar itself is checked.

    Raises:
        SampleError: it breaks the format.
    """
    key, group = "", list[tar.Member]()
    number = 0
    try:
        for member in tar.members(shard):
            name = member.name.partition(".")[0]
            if group and name != key:
                yield _found(key, group)
                number, group = number + 1, []
            key = name
            group.append(member)
    except WireError as error:
        raise SampleError(str(error), number, key) from None
    if group:
        yield _found(key, group)


def _found(key: str, group: list[tar.Member]) -> Found:
    suffixes = tuple(member.name.partition(".")[2] for member in group)
    return key, group[0].header, group[-1].end, suffixes, tuple(member.size for member in group)
