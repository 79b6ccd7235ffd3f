"""From a record to a sample's tensors, in TensorFlow's own operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.landmarks import LANDMARKS

Tensors = dict[str, Any]

_CHANNELS = 3
_WEBP_HEAD = b"RIFF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """How the samples of an export are read.

    Attributes:
        layout: what every sample holds.
        image: how pictures are stored, as `export --image` names it.
        size: height and width of all pictures, in pixels.
        kinds: the wanted metadata fields, and the kind of each.

    Raises:
        ShardsError: this TensorFlow cannot decode such pictures.
    """

    layout: Layout
    image: str
    size: tuple[int, int]
    kinds: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.image == "webp" and _webp_decoder() is None:
            raise ShardsError(
                f"TensorFlow {tf.__version__} does not decode WebP",
                "Take one that has tf.io.decode_webp, or export with --image png, jpeg or raw",
            )

    def parse(self, record: Any) -> Tensors:
        """A record's `image` (uint8 [height, width, 3]), and what else is wanted of it, in `ShardSource.batch`'s order.

        `camera` float32 [25], `landmarks` float32 [68, 2], and fields as int64, bool, float32 or string scalars.
        """
        found = tf.io.parse_single_example(record, self._features())
        sample = {"image": self._pixels(found)}
        if self.layout.camera:
            sample["camera"] = found["camera"]
        if self.layout.landmarks:
            sample["landmarks"] = found["landmarks"]
        for name, kind in self.kinds.items():
            sample[name] = tf.cast(found[name], tf.bool) if kind == "bool" else found[name]
        return sample

    def _features(self) -> dict[str, Any]:
        features = {"image": tf.io.FixedLenFeature([], tf.string)}
        if self.layout.raw:
            features["image/shape"] = tf.io.FixedLenFeature([_CHANNELS], tf.int64)
        if self.layout.camera:
            features["camera"] = tf.io.FixedLenFeature([CAMERA_NUMBERS], tf.float32)
        if self.layout.landmarks:
            features["landmarks"] = tf.io.FixedLenFeature([LANDMARKS, 2], tf.float32)
        types = {"str": tf.string, "int": tf.int64, "bool": tf.int64, "float": tf.float32}
        return features | {name: tf.io.FixedLenFeature([], types[kind]) for name, kind in self.kinds.items()}

    def _pixels(self, found: Tensors) -> Any:
        shape = [*self.size, _CHANNELS]
        pixels = None if self.layout.raw else decode_picture(found["image"], self.image in ("keep", "webp"))
        size = found["image/shape"] if pixels is None else tf.shape(pixels, tf.int64)
        told = (
            f"Pictures of several sizes make no batch: export with --resolution. The first one's size is {shape}, not"
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(size == shape), [told, size])]):
            if pixels is None:
                return tf.reshape(tf.io.decode_raw(found["image"], tf.uint8), shape)
            return tf.ensure_shape(tf.identity(pixels), shape)


def decode_picture(data: Any, webp: bool) -> Any:
    """The pixels of a picture's file, uint8 [height, width, 3], RGB: to the bit those of `pixels.decoded`.

    Args:
        data: string scalar, a PNG or JPEG file.
        webp: whether it may be a WebP file too, for TensorFlow's that can.
    """
    decode = _webp_decoder() if webp else None
    if decode is None:
        return _png_or_jpeg(data)
    return tf.cond(tf.strings.substr(data, 0, 4) == _WEBP_HEAD, lambda: decode(data), lambda: _png_or_jpeg(data))


def _png_or_jpeg(data: Any) -> Any:
    """Pixels of either: TensorFlow's operation looks at the bytes, and has libjpeg's exact method only by this name."""
    return tf.io.decode_jpeg(data, channels=_CHANNELS, dct_method="INTEGER_ACCURATE")


def _webp_decoder() -> Callable[[Any], Any] | None:
    """Decodes a WebP file to uint8 [height, width, 3]; None where this TensorFlow is too old to."""
    decode = getattr(tf.io, "decode_webp", None)
    # It gives frames, of which a picture has one, and cannot leave out transparency itself.
    return decode and (lambda data: decode(data)[0, ..., :_CHANNELS])
