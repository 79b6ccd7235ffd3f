"""From a record to batches of tensors, mirrored by TensorFlow's operations.

TensorFlow's own operations decode PNGs and plain WebPs: libspng holds Python's lock and Pillow's WebP decoder too, so
that threads would wait for one another. JPEGs are left to `formats.pictures.decoding`, which releases it and, unlike
TensorFlow, refuses a truncated JPEG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from lpff_shards.errors import ShardsError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decoded
from lpff_shards.formats.pictures.png_chunks import SIGNATURE
from lpff_shards.schemas import camera
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.landmarks import LANDMARKS, MIRROR_ORDER

Tensors = dict[str, Any]

_CHANNELS = 3
_PNGS = ("png", "stored-png")
_HEAD = 16
_WEBPS = (b"WEBPVP8 ", b"WEBPVP8L")
"""Bytes 8 to 15 of a WebP that holds one picture and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """How the samples of an export are read.

    Attributes:
        layout: what every sample holds.
        image: how pictures are stored, as `export --image` names it.
        size: height and width of all pictures, in pixels.
        kinds: the wanted metadata fields, and the kind of each.
    """

    layout: Layout
    image: str
    size: tuple[int, int]
    kinds: Mapping[str, str]

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
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("key", "image")}
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
        pixels = None if self.layout.raw else self._decoded(found)
        size = found["image/shape"] if pixels is None else tf.shape(pixels, tf.int64)
        told = (
            f"Pictures of several sizes make no batch: export with --resolution. The first one's size is {shape}, not"
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(size == shape), [told, size])]):
            if pixels is None:
                return tf.reshape(tf.io.decode_raw(found["image"], tf.uint8), shape)
            return tf.ensure_shape(tf.identity(pixels), shape)

    def _decoded(self, found: Tensors) -> Any:
        image = found["image"]
        return _decoded_png(image) if self.image in _PNGS else decode_picture(image, found["key"])


def decode_picture(data: Any, key: Any) -> Any:
    """The pixels of a picture's file, uint8 [height, width, 3], RGB: to the bit those of `pictures.decoding.decoded`.

    Args:
        data: string scalar, a PNG, JPEG or WebP file.
        key: string scalar, the sample's, for errors.
    """
    head = tf.strings.substr(data, 0, _HEAD) + bytes(_HEAD)  # TensorFlow's error for shorter data would hold the data
    start, kind = tf.strings.substr(head, 0, len(SIGNATURE)), tf.strings.substr(head, 8, 8)
    own = [(start == SIGNATURE, lambda: _decoded_png(data))]
    webp = getattr(tf.io, "decode_webp", None)  # older releases have none
    if webp:
        own.append((tf.reduce_any([kind == plain for plain in _WEBPS]), lambda: webp(data)[0, ..., :_CHANNELS]))
    return tf.case(own, default=lambda: _decoded_by_us(data, key))


def _decoded_png(data: Any) -> Any:
    return tf.io.decode_png(data, channels=_CHANNELS)


def _decoded_by_us(data: Any, key: Any) -> Any:
    pixels = tf.numpy_function(_pixels_of, [data, key], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, [None, None, _CHANNELS])


def _pixels_of(data: bytes, key: bytes) -> Pixels:
    """Pixels, as `decoded`.

    Raises:
        ShardsError: the picture is damaged; it names the sample.
    """
    try:
        return np.ascontiguousarray(decoded(data))
    except (FormatError, PictureError) as error:
        name = key.decode(errors="replace")
        raise ShardsError(f"sample {name} is damaged: {error}", "See lpff-shards verify --deep") from None


@dataclass(frozen=True, slots=True)
class Steps:
    """Makes batches of records.

    Attributes:
        records: how they are parsed.
        mirror: mirror samples where their row says so.
        labels: give images and conditioning vectors, and a dict of the requested fields if any, not dicts of all.
    """

    records: Records
    mirror: bool
    labels: bool

    def sample(self, index: Any, flip: Any, record: Any) -> tuple[Tensors, Any]:
        """A sample of its number and its record, its picture mirrored already where it is to be, and whether it is."""
        found = self.records.parse(record)
        if self.mirror:
            found["image"] = mirror_picture(found["image"], flip)
        return {"index": index, **found}, flip

    def batch(self, samples: Tensors, flips: Any) -> Any:
        """A batch as `tensorflow.dataset` gives it."""
        found = mirror_labels(samples, flips) if self.mirror else samples
        if not self.labels:
            return found
        labels = found.get("camera", tf.zeros([tf.shape(flips)[0], 0]))
        fields = {name: found[name] for name in self.records.kinds}
        return (found["image"], labels, fields) if fields else (found["image"], labels)


def mirror_picture(pixels: Any, flip: Any) -> Any:
    """A picture [height, width, 3], mirrored where the scalar says so."""
    return tf.cond(flip, lambda: tf.reverse(pixels, [1]), lambda: pixels)


def mirror_labels(batch: Tensors, flips: Any) -> Tensors:
    """A batch whose pictures are mirrored already, with the cameras, landmarks and fields that belong to them.

    Args:
        batch: as `tensorflow.dataset` gives it.
        flips: bool [n], which samples.
    """
    found = dict(batch)
    for name, mirror in (("camera", _camera), ("landmarks", _landmarks)):
        if name in batch:
            old = batch[name]
            # Zeros mean unknown and stay zeros.
            known = tf.reduce_any(old != 0, axis=list(range(1, len(old.shape))))
            turned = tf.reshape(flips & known, [-1] + [1] * (len(old.shape) - 1))
            found[name] = tf.where(turned, mirror(old, batch["image"].shape[2]), old)
    if "yaw" in batch:
        found["yaw"] = tf.where(flips, -batch["yaw"], batch["yaw"])
    if "mirrored" in batch:
        found["mirrored"] = tf.math.logical_xor(batch["mirrored"], flips)
    return found


def _camera(cameras: Any, width: int) -> Any:  # noqa: ARG001
    # The rule is affine in each number, so two cameras determine it.
    shift, one = camera.mirror(np.stack([np.zeros(camera.CAMERA_NUMBERS), np.ones(camera.CAMERA_NUMBERS)]))
    return tf.cast(tf.cast(cameras, tf.float64) * (one - shift) + shift, tf.float32)


def _landmarks(points: Any, width: int) -> Any:
    turned = tf.gather(points, MIRROR_ORDER, axis=1)
    return tf.stack([tf.constant(width - 1, tf.float32) - turned[..., 0], turned[..., 1]], axis=-1)
