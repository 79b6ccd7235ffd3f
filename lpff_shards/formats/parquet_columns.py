"""The columns of a Parquet file: picture, camera and landmarks, channels and fields of the samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from lpff_shards.formats.base import ARRAY_SHAPES, Annotations
from lpff_shards.formats.channels import array_in, npy_header
from lpff_shards.formats.checks import attached_sample, checked, sample_of
from lpff_shards.schemas.channels import Channel
from lpff_shards.schemas.fields import DTYPES, Layout
from lpff_shards.schemas.sample import FILE_KINDS, Sample


def columns_of(layout: Layout) -> Any:
    """Return the columns, with the metadata that Hugging Face's datasets read."""
    import pyarrow as pa

    # The types allow nulls, though there are none: `datasets` supports only such types for its features.
    channels = layout.channels or ()
    images = [*([] if layout.attached else ["image"]), *(channel.name for channel in channels if channel.kind == "png")]
    columns: dict[str, Any] = dict.fromkeys(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    features: dict[str, Any] = {name: {"_type": "Image"} for name in images}
    dtypes = dict.fromkeys(layout.arrays, "float32")
    dtypes |= {channel.name: _dtype(channel) for channel in channels if channel.kind != "png"}
    dtypes |= {f.name: "string" if f.kind == "str" else DTYPES[f.kind] for f in layout.fields}
    shapes = {**ARRAY_SHAPES, **{one.name: one.arrays[0].shape for one in channels if one.kind == "npy"}}
    for name, dtype in dtypes.items():
        columns[name], features[name] = pa.type_for_alias(dtype), {"dtype": dtype, "_type": "Value"}
        for side in reversed(shapes.get(name, ())):
            columns[name] = pa.list_(pa.field("element", columns[name]), side)
            features[name] = {"feature": features[name], "length": side, "_type": "Sequence"}
    return pa.schema(list(columns.items()), {"huggingface": json.dumps({"info": {"features": features}})})


def _dtype(channel: Channel) -> str:
    """Return the type of a channel's column, or of the numbers in it."""
    if channel.kind == "npy":
        return np.dtype(channel.arrays[0].dtype).name
    return "binary" if channel.kind == "npz" else "string"


def cell_of(channel: Channel, key: str, data: bytes) -> object:
    """Return the cell of a channel's file."""
    if channel.kind == "png":
        return {"bytes": data, "path": f"{key}.{channel.suffix}"}
    if channel.kind == "npy":
        return array_in(channel.arrays[0], data).tolist()
    return data if channel.kind == "npz" else data.decode()


def _files(channel: Channel, column: Any) -> list[bytes]:
    """Return the files of a channel from its column."""
    if channel.kind == "npy":
        spec, flat = channel.arrays[0], column.combine_chunks()
        flat = flat.flatten(recursive=True) if spec.shape else flat
        arrays = np.array(flat.to_numpy(zero_copy_only=False), spec.dtype).reshape(len(column), *spec.shape)
        return [npy_header(channel) + array.tobytes() for array in arrays]
    values = column.to_pylist()
    if channel.kind == "png":
        return [value["bytes"] for value in values]
    return values if channel.kind == "npz" else [value.encode() for value in values]


def samples_of(group: Any, layout: Layout) -> Iterator[Sample]:
    """Yield the samples of a row group, each checked."""
    channels = {channel.name: _files(channel, group[channel.name]) for channel in layout.channels or ()}
    if layout.attached:
        for number, key in enumerate(group["key"].to_pylist()):
            yield checked(attached_sample(key, {name: files[number] for name, files in channels.items()}), layout)
        return
    flat = {name: group[name].combine_chunks().flatten(recursive=True) for name in layout.arrays}
    arrays = {name: np.array(flat[name], np.float32).reshape(-1, *ARRAY_SHAPES[name]) for name in flat}
    rows = group.select([f.name for f in layout.fields]).to_pylist()
    for number, (image, row) in enumerate(zip(group["image"], rows, strict=True)):
        kind = FILE_KINDS[image["path"].as_py().removeprefix(f"{row['key']}.")]
        own: dict[str, Any] = {name: array[number] for name, array in arrays.items()}
        own["channels"] = {name: files[number] for name, files in channels.items()}
        yield checked(sample_of(row["key"], kind, image["bytes"].as_py(), None, Annotations(row, **own)), layout)
