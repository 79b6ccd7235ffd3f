"""Mirroring in TensorFlow's operations; `mirroring` says the same in numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from lpff_shards.loaders.tensorflow_records import Tensors
from lpff_shards.schemas import camera
from lpff_shards.schemas.landmarks import MIRROR_ORDER


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
            # What is unknown is zeros, and stays so.
            known = tf.reduce_any(old != 0, axis=list(range(1, len(old.shape))))
            turned = tf.reshape(flips & known, [-1] + [1] * (len(old.shape) - 1))
            found[name] = tf.where(turned, mirror(old, batch["image"].shape[2]), old)
    if "yaw" in batch:
        found["yaw"] = tf.where(flips, -batch["yaw"], batch["yaw"])
    if "mirrored" in batch:
        found["mirrored"] = tf.math.logical_xor(batch["mirrored"], flips)
    return found


def _camera(cameras: Any, width: int) -> Any:  # noqa: ARG001
    # The rule moves and turns each number by itself, so two cameras tell all of it.
    shift, one = camera.mirror(np.stack([np.zeros(camera.CAMERA_NUMBERS), np.ones(camera.CAMERA_NUMBERS)]))
    return tf.cast(tf.cast(cameras, tf.float64) * (one - shift) + shift, tf.float32)


def _landmarks(points: Any, width: int) -> Any:
    turned = tf.gather(points, MIRROR_ORDER, axis=1)
    return tf.stack([tf.constant(width - 1, tf.float32) - turned[..., 0], turned[..., 1]], axis=-1)
