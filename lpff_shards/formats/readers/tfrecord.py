"""Samples of a TFRecord shard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lpff_shards.formats.base import SampleError
from lpff_shards.formats.containers import example, tfrecord
from lpff_shards.formats.errors import WireError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.formats.readers.checks import checked, pixels
from lpff_shards.schemas.fields import FIELDS, Kind, Layout
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.sample import Picture, Sample


def samples(shard: memoryview, layout: Layout) -> Iterator[Sample]:
    """The samples of a TFRecord file.

    Raises:
        SampleError: at the first that breaks the format or the schema.
    """
    return (sample for sample, _, _ in placed(shard, layout))


def placed(shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int, int]]:
    """The samples of a TFRecord file, each with where its record starts and ends.

    Raises:
        SampleError: at the first that breaks the format or the schema.
    """
    number = 0
    try:
        for at, data in tfrecord.records(shard):
            yield checked(_sample(data, layout), layout), at, at + len(data) + tfrecord.FRAMING
            number += 1
    except WireError as error:
        raise SampleError(str(error), number) from None


def _sample(data: memoryview, layout: Layout) -> Sample:
    features = example.decode(data)
    if list(features) != sorted(features):
        raise WireError("its features are not sorted by name")
    scalars = {f.name: _scalar(f.name, f.kind, features.pop(f.name, None)) for f in FIELDS}
    image = _one(features.pop("image", None), bytes, "image")
    camera, landmarks = features.pop("camera", None), features.pop("landmarks", None)
    shape = features.pop("image/shape", None)
    if features:
        raise WireError(f"it has features that the schema lacks: {', '.join(features)}")
    if (shape is None) == layout.raw:
        raise WireError("its image/shape does not fit the data set's layout")
    key = str(scalars["key"])
    picture = _raw(image, shape, scalars) if layout.raw else _file(image, scalars)
    if isinstance(landmarks, np.ndarray) and landmarks.size == 2 * LANDMARKS:
        landmarks = landmarks.reshape(LANDMARKS, 2)
    return Sample(key, picture, camera, landmarks, scalars)  # type: ignore[arg-type]


def _scalar(name: str, kind: Kind, value: example.Decoded | None) -> str | int | bool | float:
    if kind == "str":
        try:
            return str(_one(value, bytes, name), "utf-8")
        except UnicodeDecodeError:
            raise WireError(f"its feature {name} is not UTF-8") from None
    if kind == "float":
        return float(_one(value, np.float32, name))
    number: int = _one(value, int, name)
    return bool(number) if kind == "bool" else number


def _one(values: example.Decoded | None, type: type[Any], name: str) -> Any:
    if values is None or len(values) != 1 or not isinstance(values[0], type):
        raise WireError(f"its feature {name} is not one {type.__name__}")
    return values[0]


def _raw(image: bytes, shape: Any, scalars: dict[str, Any]) -> Picture:
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != len(image):
        raise WireError(f"its image/shape is {list(shape)} for {len(image)} bytes")
    return pixels(np.frombuffer(image, np.uint8).reshape(shape), scalars)


def _file(image: bytes, scalars: dict[str, Any]) -> Picture:
    return Picture(inspect(image).kind, image, scalars["width"], scalars["height"], scalars["mode"])
