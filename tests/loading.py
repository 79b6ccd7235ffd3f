"""Small exports for the loaders' tests, and what is in them as our own readers find it."""

from __future__ import annotations

import dataclasses
import inspect
import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataset_factories
import numpy as np
import pytest
from PIL import Image
from running import wait_for
from servers.fault import Fault
from stores import Bucket

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    ShardsError,
    SourceOptions,
    export,
    read_manifest,
)
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.source import ShardSource
from lpff_shards.schemas.fields import FIELDS

NAMES = tuple(f.name for f in FIELDS)


def fail_the_third_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loaders' third batch fail once."""
    load, failures = ShardSource.batch, iter([False, False, True])

    def fail_once(source: ShardSource, *given: Any) -> Any:
        if next(failures, False):
            raise ShardsError("the store is away", "Try again")
        return load(source, *given)

    monkeypatch.setattr(ShardSource, "batch", fail_once)


def check_documented(loader: Any, options: type) -> None:
    """Check that a loader's signature and documentation name each of its options once, with the same defaults."""
    parameters = inspect.signature(loader).parameters
    assert list(parameters) == [field.name for field in dataclasses.fields(options)]
    for field in dataclasses.fields(options):
        assert parameters[field.name].default in (field.default, inspect.Parameter.empty)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in list(parameters.values())[2:])
    before, args, raises = re.split(r"\n(?:Args|Raises):\n", inspect.getdoc(loader) or "")
    told = [name for names in re.findall(r"^ {4}([a-z_, ]+): ", args, re.MULTILINE) for name in names.split(", ")]
    assert sorted(told) == sorted(parameters)
    assert before
    assert "ShardsError" in raises


def lpff_ids(count: int) -> list[str]:
    """Ids of LPFF: a face a photo, each photo of an author of its own."""
    return [f"{10000 + n}@N00_{n:08d}_01" for n in range(count)]


def lpff(root: Path, count: int, size: int = 8, mirror: bool = False) -> SourceOptions:
    """A source of `count` pictures of noise with landmarks, or with mirrors and without landmarks."""
    alignment: Any = "eg3d" if mirror else "realign2400"
    folder = dataset_factories.write_lpff(root / f"lpff-{count}-{size}-{alignment}", lpff_ids(count), [alignment], size)
    if mirror:
        (folder / "realign2400_lm.json").unlink(missing_ok=True)
    return SourceOptions(lpff=str(folder), alignment=alignment, mirror=mirror)


def write(
    out: Path, format: str, sources: SourceOptions, shards: int = 2, metadata: str = "json", **given: Any
) -> Path:
    """Exports; further arguments are those of `PictureOptions`, or `mix`, `shuffle` and `on_error`."""
    mix, shuffle, on_error = given.pop("mix", MixOptions()), given.pop("shuffle", True), given.pop("on_error", "fail")
    export(
        ExportOptions(
            format=format,  # type: ignore[arg-type]
            out=str(out),
            sources=sources,
            metadata=metadata,  # type: ignore[arg-type]
            picture=PictureOptions(**given),
            mix=mix,
            shards=ShardOptions(shards=shards, shuffle=shuffle),
            run=RunOptions(workers=1, on_error=on_error),
        )
    )
    return out


def sent(folder: Path, bucket: Bucket, prefix: str = "sets/out") -> str:
    """Puts an export into a bucket, past the proxy; returns its URI."""
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())
    return f"{bucket.uri}/{prefix}"


def held_while(bucket: Bucket, work: Callable[[], Any], held: int) -> Any:
    """What some work gives, whose requests are held until so many of them are on their way at once."""
    bucket.break_with(Fault("hold", method="GET"))
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    wait_for(lambda: bucket.counts().held >= held)
    bucket.break_with()
    # What came in at that very moment may be held still.
    wait_for(lambda: bucket.release() or not thread.is_alive())
    return done[0]


@dataclass
class Truth:
    """A sample as our reader and Pillow find it."""

    pixels: np.ndarray
    camera: np.ndarray | None
    landmarks: np.ndarray | None
    fields: dict[str, Any]


def truths(folder: Path, split: str | None = "train") -> list[Truth]:
    """The samples of a split, in the order of its shards."""
    manifest = read_manifest(folder)
    read = get_format(manifest.format).samples
    shards = [shard for shard in manifest.shards if split in (None, shard.split)]
    return [
        Truth(_pixels(found.picture), found.camera, found.landmarks, dict(found.scalars))
        for shard in shards
        for found in read(memoryview((folder / shard.file).read_bytes()), manifest.layout)
    ]


def _pixels(picture: Any) -> np.ndarray:
    if picture.kind == "raw":
        return np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
    return np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB"))


def assert_same_array(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal in type, shape and every number."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


def assert_sample(found: dict[str, Any], expected: Truth) -> None:
    """What `ShardSource` gives for one number."""
    arrays = {"image": expected.pixels, "camera": expected.camera, "landmarks": expected.landmarks}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    assert set(found) == {*arrays, "metadata"}
    for name, array in arrays.items():
        assert_same_array(found[name], array)
        assert found[name].flags.writeable
    assert dict(found["metadata"]) == expected.fields
    assert {name: type(value) for name, value in found["metadata"].items()} == {
        name: type(value) for name, value in expected.fields.items()
    }


def assert_batch(found: dict[str, Any], expected: list[Truth], numbers: list[int]) -> None:
    """What `ShardSource.batch` gives for these numbers, with every field."""
    rows = [expected[number] for number in numbers]
    assert_same_array(found["index"], np.array(numbers))
    assert_same_array(found["image"], np.stack([row.pixels for row in rows]))
    for name in ("camera", "landmarks"):
        arrays = [array for array in (getattr(row, name) for row in rows) if array is not None]
        assert (name in found) == bool(arrays)
        if arrays:
            assert_same_array(found[name], np.stack(arrays))
    for name in NAMES:
        assert_column(name, found[name], rows)


def assert_column(name: str, found: Any, expected: list[Truth]) -> None:
    """A field of many samples."""
    values = [row.fields[name] for row in expected]
    dtype = {int: np.int64, bool: np.bool_, float: np.float32}.get(type(values[0]))
    if dtype is not None:
        assert_same_array(found, np.array(values, dtype))
    else:
        assert list(found) == values
