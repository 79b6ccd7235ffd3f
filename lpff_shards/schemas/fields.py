"""The fields of a sample, declared once: the writers, verify, the manifest and the documentation use this table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from lpff_shards.schemas.channels import Channel
from lpff_shards.schemas.sources import SPECS
from lpff_shards.schemas.text import alternatives

SCHEMA_VERSION = 2

Kind = Literal["str", "int", "bool", "float"]
Scalar = str | int | bool | float


@dataclass(frozen=True, slots=True)
class Field:
    """One scalar of a sample's metadata.

    Attributes:
        name: JSON key and TFRecord feature.
        kind: `str` (empty where unknown), `int`, `bool` (int64 0 or 1 in TFRecord) or `float` (float32 precision).
        doc: meaning and range.
        unit: of numbers that have one.
    """

    name: str
    kind: Kind
    doc: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Array:
    """One array of a sample: its TFRecord feature, dtype and shape as readers return it, unit and meaning."""

    name: str
    dtype: str
    shape: str
    unit: str
    doc: str


ARRAYS: tuple[Array, ...] = (
    Array(
        "image", "uint8", "height x width x 3", "levels, 0 to 255", "the picture, decoded; RGB unless `mode` says else"
    ),
    Array("camera", "float32", "25", "see below", "camera-to-world 4x4, then intrinsics 3x3; zeros where unknown"),
    Array(
        "landmarks",
        "float32",
        "68 x 2",
        "pixels",
        "x, y of the 68 iBUG points in the stored picture, pixel centers at whole numbers; zeros where unknown",
    ),
)


FIELDS: tuple[Field, ...] = (
    Field("key", "str", "unique name of the sample"),
    Field("dataset", "str", f"source data set: {alternatives(SPECS)}"),
    Field("source_id", "str", "the source's own id of the picture, unchanged"),
    Field("photo_id", "str", "id of the photo at its host; faces of one photo share it"),
    Field("face", "int", "number of the face in its photo, from 1; 0 unknown"),
    Field("mirrored", "bool", "the picture is flipped left to right, its camera and landmarks with it"),
    Field("replica", "int", "0 for the first copy of a picture, then 1, 2, ..."),
    Field("split", "str", "split that the sample belongs to"),
    Field("category", "str", "FFHQ's own split: training or validation"),
    Field("alignment", "str", "eg3d, stylegan, realign2400 or raw"),
    Field(
        "camera_alignment",
        "str",
        "crop whose intrinsics and roll the camera has: `alignment` or eg3d; empty without",
    ),
    Field("has_camera", "bool", "whether the camera is known; its 25 numbers are zeros where it is not"),
    Field("yaw", "float", "0 frontal, positive with the camera towards world +x; 0 without camera", "radians"),
    Field("pitch", "float", "0 level, positive with the camera above; 0 without camera", "radians"),
    Field("has_landmarks", "bool", "whether landmarks are known; zeros where they are not"),
    Field("landmarks_source", "str", "published with the data set, or computed from another crop's; empty without"),
    Field("density", "float", "pose density of rebalancing; 0 where not computed", "1/radian²"),
    Field("weight", "float", "relative weight for loaders that resample; 1 without rebalancing"),
    Field("license", "str", "short name of the photo's license: CC-BY-2.0, CC0-1.0, ..."),
    Field("license_url", "str", "the license's text"),
    Field("author", "str", "name of the photographer"),
    Field("author_id", "str", "id of the photographer at the photo's host"),
    Field("title", "str", "title of the photo"),
    Field("source_url", "str", "page or file of the photo at its host"),
    Field("low_resolution_download_url", "str", "small file of the photo at its host, as LPFF's info.json has it"),
    Field("high_resolution_download_url", "str", "largest file of the photo at its host, as LPFF's info.json has it"),
    Field("changes", "str", "what was done to the photo, as CC BY asks to say"),
    Field("width", "int", "of the stored picture", "pixels"),
    Field("height", "int", "of the stored picture", "pixels"),
    Field("mode", "str", "color mode of the stored picture: RGB, RGBA, L, LA, P, ..."),
    Field(
        "exif_orientation", "int", "1 to 8, by which readers that apply EXIF turn the stored picture; 1 if it has none"
    ),
    Field("resize_filter", "str", "lanczos where the picture was resized, else empty"),
)

TAKEN = frozenset({*(f.name for f in FIELDS), *(array.name for array in ARRAYS), "index", "metadata", "json", "mp"})
"""Names that samples and batches have already."""
CROP_TRANSFORM = Field(
    "crop_transform",
    "str",
    "2x3 as JSON, from x, y, 1 in the picture that was cropped to x, y in the crop before mirroring, in pixels with "
    "centers at whole numbers",
)
"""Field of exports that crop."""

DTYPES: Mapping[Kind, str] = {"str": "str", "int": "int64", "bool": "bool", "float": "float32"}
"""Array dtype of each kind of scalar; TFRecords hold a bool as an int64, 0 or 1."""
MOST = 2**63 - 1
LARGEST = float.fromhex("0x1.fffffep127")
"""The largest int64 and float32."""
PYTHON_TYPES: Mapping[Kind, type] = {"str": str, "int": int, "bool": bool, "float": float}


def fault(scalars: Mapping[str, Any], fields: Sequence[Field] = FIELDS) -> str | None:
    """Return which rule these scalars break, or None: exactly the names of these fields, each with its type."""
    names = [f.name for f in fields]
    if list(scalars) != names:
        odd = sorted(set(scalars) ^ set(names))
        return f"its fields differ from the schema: {', '.join(odd) or 'other order'}"
    for f in fields:
        value = scalars[f.name]
        if type(value) is not PYTHON_TYPES[f.kind]:
            return f"its field {f.name} is {value!r}, not {f.kind}"
        # Arrays and SQLite cannot hold larger numbers.
        whole = not isinstance(value, int) or -MOST - 1 <= value <= MOST
        if not whole or (isinstance(value, float) and not abs(value) <= LARGEST):
            return f"its field {f.name} is {value}, which no {DTYPES[f.kind]} holds"
    return None


def has_field(channel: Channel) -> Field:
    """Return the field that says whether a sample has its own file of an optional channel."""
    return Field(f"has_{channel.name}", "bool", f"whether the picture has a {channel.name}; it is empty where not")


@dataclass(frozen=True, slots=True)
class Layout:
    """The members that every sample of one data set has.

    Attributes:
        raw: pictures are stored as pixels, not as files.
        camera, landmarks: present in every sample (zeros where one is unknown).
        packed: camera, landmarks and scalars share one msgpack member (wds only).
        extra: fields of this data set, besides `FIELDS`.
        channels: files that belong to each picture.
        attached: the samples have only their key and the channels; their pictures are in the shards of an export.
    """

    raw: bool
    camera: bool
    landmarks: bool
    packed: bool = False
    # Without any it is not written, as before there were any.
    extra: tuple[Field, ...] | UnsetType = UNSET
    channels: tuple[Channel, ...] | UnsetType = UNSET
    attached: bool | UnsetType = UNSET

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields of a sample, in order."""
        return FIELDS[:1] if self.attached else (*FIELDS, *(self.extra or ()))

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of every sample, without its picture."""
        return tuple(name for name in ("camera", "landmarks") if getattr(self, name))
