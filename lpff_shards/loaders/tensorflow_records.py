"""Parse records into batches of tensors, and mirror them with TensorFlow's operations.

TensorFlow's operations decode PNGs and plain WebPs: libspng and Pillow's WebP decoder hold Python's lock, so threads
would wait for one another. `formats.pictures.decoding` decodes JPEGs: it releases the lock and, unlike TensorFlow,
refuses a truncated JPEG.
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
from lpff_shards.formats.pictures.png import SIGNATURE
from lpff_shards.schemas import camera
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.landmarks import LANDMARKS, MIRROR_ORDER

Tensors = dict[str, Any]

_CHANNELS = 3
_PNGS = ("png", "stored-png")
_HEAD = 16
_WEBPS = (b"WEBPVP8 ", b"WEBPVP8L")
"""Bytes 8 to 15 of a WebP with only one picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The parser of an export's records.

    Attributes:
        layout: members of every sample.
        image: encoding of the pictures, a value of `export --image`.
        size: height and width of all pictures, in pixels.
        kinds: the requested metadata fields, and the kind of each.
    """

    layout: Layout
    image: str
    size: tuple[int, int]
    kinds: Mapping[str, str]

    def parse(self, record: Any) -> Tensors:
        """Return a record's tensors, in the order of `ShardSource.batch`.

        `image` uint8 [height, width, 3], `camera` float32 [25], `landmarks` float32 [68, 2], and the requested fields
        as int64, bool, float32 or string scalars.
        """
        features = tf.io.parse_single_example(record, self._features())
        sample = {"image": self._pixels(features)}
        if self.layout.camera:
            sample["camera"] = features["camera"]
        if self.layout.landmarks:
            sample["landmarks"] = features["landmarks"]
        for name, kind in self.kinds.items():
            sample[name] = tf.cast(features[name], tf.bool) if kind == "bool" else features[name]
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

    def _pixels(self, features: Tensors) -> Any:
        shape = [*self.size, _CHANNELS]
        pixels = None if self.layout.raw else self._decoded(features)
        size = features["image/shape"] if pixels is None else tf.shape(pixels, tf.int64)
        message = (
            f"A batch needs pictures of one size: export with --resolution. The first picture has shape {shape}, not"
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(size == shape), [message, size])]):
            if pixels is None:
                return tf.reshape(tf.io.decode_raw(features["image"], tf.uint8), shape)
            return tf.ensure_shape(tf.identity(pixels), shape)

    def _decoded(self, features: Tensors) -> Any:
        image = features["image"]
        return _decoded_png(image) if self.image in _PNGS else decode_picture(image, features["key"])


def decode_picture(data: Any, key: Any) -> Any:
    """Return the pixels of a picture's file, uint8 [height, width, 3], RGB, identical to `pictures.decoding.decoded`.

    Args:
        data: string scalar, a PNG, JPEG or WebP file.
        key: string scalar, the sample's key for errors.
    """
    head = tf.strings.substr(data, 0, _HEAD) + bytes(_HEAD)  # TensorFlow's error for shorter data contains the data
    start, kind = tf.strings.substr(head, 0, len(SIGNATURE)), tf.strings.substr(head, 8, 8)
    own = [(start == SIGNATURE, lambda: _decoded_png(data))]
    webp = getattr(tf.io, "decode_webp", None)  # missing in older releases
    if webp:
        own.append((tf.reduce_any([kind == plain for plain in _WEBPS]), lambda: webp(data)[0, ..., :_CHANNELS]))
    return tf.case(own, default=lambda: _decoded_in_python(data, key))


def _decoded_png(data: Any) -> Any:
    return tf.io.decode_png(data, channels=_CHANNELS)


def _decoded_in_python(data: Any, key: Any) -> Any:
    pixels = tf.numpy_function(_pixels_of, [data, key], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, [None, None, _CHANNELS])


def _pixels_of(data: bytes, key: bytes) -> Pixels:
    """Return the pixels of `decoded`.

    Raises:
        ShardsError: the picture is damaged; the message contains the sample's key.
    """
    try:
        return np.ascontiguousarray(decoded(data))
    except (FormatError, PictureError) as error:
        name = key.decode(errors="replace")
        raise ShardsError(f"sample {name} is damaged: {error}", "See lpff-shards verify --deep") from None


@dataclass(frozen=True, slots=True)
class Steps:
    """Turn records into batches.

    Attributes:
        records: parser of the records.
        mirror: whether to mirror the samples that the sampler chose.
        labels: return images, conditioning vectors and a dict of the requested fields if any, not dicts of all.
    """

    records: Records
    mirror: bool
    labels: bool

    def sample(self, index: Any, flip: Any, record: Any) -> tuple[Tensors, Any]:
        """Return a sample, with its picture mirrored already if `flip` is true, and `flip`."""
        tensors = self.records.parse(record)
        if self.mirror:
            tensors["image"] = mirror_picture(tensors["image"], flip)
        return {"index": index, **tensors}, flip

    def batch(self, samples: Tensors, flips: Any) -> Any:
        """Return a batch of `tensorflow.dataset`."""
        batch = mirror_labels(samples, flips) if self.mirror else samples
        if not self.labels:
            return batch
        labels = batch.get("camera", tf.zeros([tf.shape(flips)[0], 0]))
        fields = {name: batch[name] for name in self.records.kinds}
        return (batch["image"], labels, fields) if fields else (batch["image"], labels)


def mirror_picture(pixels: Any, flip: Any) -> Any:
    """Return a picture [height, width, 3], mirrored if the scalar `flip` is true."""
    return tf.cond(flip, lambda: tf.reverse(pixels, [1]), lambda: pixels)


def mirror_labels(batch: Tensors, flips: Any) -> Tensors:
    """Return a batch with cameras, landmarks and fields mirrored; its pictures are mirrored already.

    Args:
        batch: of `tensorflow.dataset`.
        flips: bool [n], the samples to mirror.
    """
    mirrored = dict(batch)
    for name, mirror in (("camera", _camera), ("landmarks", _landmarks)):
        if name in batch:
            old = batch[name]
            # Zeros mean unknown and stay zeros.
            known = tf.reduce_any(old != 0, axis=list(range(1, len(old.shape))))
            turned = tf.reshape(flips & known, [-1] + [1] * (len(old.shape) - 1))
            mirrored[name] = tf.where(turned, mirror(old, batch["image"].shape[2]), old)
    if "yaw" in batch:
        mirrored["yaw"] = tf.where(flips, -batch["yaw"], batch["yaw"])
    if "mirrored" in batch:
        mirrored["mirrored"] = tf.math.logical_xor(batch["mirrored"], flips)
    return mirrored


def _camera(cameras: Any, width: int) -> Any:  # noqa: ARG001
    # The rule is affine in each number, so two cameras determine it.
    shift, one = camera.mirror(np.stack([np.zeros(camera.CAMERA_NUMBERS), np.ones(camera.CAMERA_NUMBERS)]))
    return tf.cast(tf.cast(cameras, tf.float64) * (one - shift) + shift, tf.float32)


def _landmarks(points: Any, width: int) -> Any:
    turned = tf.gather(points, MIRROR_ORDER, axis=1)
    return tf.stack([tf.constant(width - 1, tf.float32) - turned[..., 0], turned[..., 1]], axis=-1)
