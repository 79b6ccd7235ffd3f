"""The fields of a sample with their types, shapes and units, and the pose conventions."""

from __future__ import annotations

from collections.abc import Iterator, Set

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.fields import ARRAYS, DTYPES, FIELDS, Array
from lpff_shards.sidecars.card.markdown import table

_CAMERA = """The 25 numbers of `camera`, row by row:

| numbers | hold |
|---|---|
| 0-3 | r00 r01 r02 **tx** |
| 4-7 | r10 r11 r12 **ty** |
| 8-11 | r20 r21 r22 **tz** |
| 12-15 | 0 0 0 1 |
| 16-18 | **fx** skew **cx** |
| 19-21 | 0 **fy** **cy** |
| 22-24 | 0 0 1 |

The first sixteen are the camera-to-world matrix: the columns of r are the camera's x, y and z axes in the world, t is \
where it stands. The last nine are the intrinsics, divided by the picture's size: times width (fx, skew, cx) and \
height (fy, cy) they are pixels.
"""
_POSES = """## Poses

![World and camera axes, the signs of yaw and pitch, and heads seen from such cameras](poses.png)

- World: the head at the origin, looking along +z; y is up, x points to the right of a frontal picture, which is the \
person's left. Published cameras stand 2.7 units away.
- Camera: OpenCV's axes, x right, y down, z forward.
- `yaw` = atan2(tx, tz): positive where the camera stands towards +x and sees the person's left cheek.
- `pitch` = atan2(ty, hypot(tx, tz)): positive where the camera stands above and looks down on the head.
- The mirrored picture has yaw -yaw and the same pitch; numbers 1, 2, 3, 4 and 8 of its camera change \
sign, cx becomes 1 - cx.
"""
_OTHER_CROPS = """- The published cameras are of the EG3D crops. `camera_alignment` says which crop a camera is of. \
Where it is `eg3d`, yaw and pitch hold for the picture, and the focal length, the principal point and the roll do not.
"""


def fields(manifest: Manifest, suffixes: Set[str]) -> str:
    """A table of arrays and fields, and the camera's numbers spelled out."""
    rows = [*_arrays(manifest, suffixes)]
    rows += [(f"`{f.name}`", DTYPES[f.kind], "", f.unit, f.doc) for f in FIELDS]
    unknown = "Where there is no shape, it is a single value. Unknown text is empty, and nothing is ever NaN.\n"
    if manifest.format == "tfrecord":
        unknown += "As features, a bool is an int64, 0 or 1, and the arrays are flat lists.\n"
    camera = f"\n{_CAMERA}" if manifest.layout.camera else ""
    return f"## Fields\n\n{table(('field', 'dtype', 'shape', 'unit', 'meaning'), rows)}\n{unknown}{camera}"


def poses(manifest: Manifest) -> str:
    """The pose conventions, where there are cameras."""
    if not manifest.layout.camera:
        return ""
    return _POSES + ("" if manifest.options.get("alignment") == "eg3d" else _OTHER_CROPS)


def field_table() -> str:
    """The field table as Markdown, as the documentation shows it."""
    rows = ((f"`{f.name}`", f.kind, f"{f.unit}, {f.doc}" if f.unit else f.doc) for f in FIELDS)
    return table(("field", "type", "meaning"), rows)


def _arrays(manifest: Manifest, suffixes: Set[str]) -> Iterator[tuple[str, ...]]:
    """The rows of what a sample holds beside its fields, under the names that the format gives."""
    for array in ARRAYS:
        if array.name == "image" or getattr(manifest.layout, array.name):
            yield _name(array, manifest, suffixes), array.dtype, array.shape, array.unit, array.doc


def _name(array: Array, manifest: Manifest, suffixes: Set[str]) -> str:
    if manifest.format == "tfrecord":
        return f"`{array.name}`"
    if array.name == "image":
        return "picture" if manifest.format == "zip" else "/".join(f"`{suffix}`" for suffix in sorted(suffixes))
    if manifest.format == "zip":
        return "label in `dataset.json`" if array.name == "camera" else f"`{array.name}` in `samples.jsonl`"
    return f"`{array.name}` in `mp`" if manifest.layout.packed else f"`{array.name}.npy`"
