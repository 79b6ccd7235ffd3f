"""A data loader for TensorFlow: `dataset`, a tf.data.Dataset over TFRecord shards, for GPUs and TPUs.

The order is computed before reading starts. An epoch is exact for any number of ranks and shards, and resumes without
reading skipped samples: by `start`, or by a tf.train.Checkpoint of its iterator.

TensorFlow's operations decode PNGs and plain WebPs: libspng and Pillow's WebP decoder hold Python's lock, so threads
would wait for one another. `formats.pictures.decoding` decodes JPEGs: it releases the lock and, unlike TensorFlow,
refuses a truncated JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.formats import tfrecord
from lpff_shards.formats.base import ARRAY_SHAPES
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decoded
from lpff_shards.formats.pictures.png import SIGNATURE
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.batches import MIRRORED, mirror_labels
from lpff_shards.loaders.channels import mirror_channels
from lpff_shards.loaders.options import LoaderOptions, takes
from lpff_shards.loaders.ranks import rank_and_world_size
from lpff_shards.loaders.sampler import StreamSampler, refuse_below
from lpff_shards.loaders.source import ShardSource, kinds_of

BATCHES_AHEAD = 2
"""Batches requested ahead, with one request per record."""

Tensors = dict[str, Any]

_CHANNELS = 3
_HEAD = 16
_WEBPS = (b"WEBPVP8 ", b"WEBPVP8L")
"""Bytes 8 to 15 of a WebP with only one picture."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorflowOptions(LoaderOptions):
    """Options of `dataset`.

    Args:
        shuffle: shards have a new order in each epoch, and each sample moves by less than `shuffle` places, which needs
            no memory; 0 keeps the shards' order.
        start: number of batches to skip, because they were used before; the others are the same as without.
        parallel: samples read and decoded at once; by default tf.data tunes it.
        prefetch: batches prepared ahead; by default tf.data tunes it.
    """

    shuffle: int = 1000
    start: int = 0
    parallel: int | None = None
    prefetch: int | None = None

    def __post_init__(self) -> None:
        LoaderOptions.__post_init__(self)
        refuse_below("start", self.start, 0)


@takes(TensorflowOptions)
def dataset(options: TensorflowOptions) -> tf.data.Dataset:
    """Return the batches of one epoch of a `--format tfrecord` export.

    Batches are dicts: `index` int64 [n], the samples' numbers in `ShardSource`; `image` uint8 [n, height, width, 3];
    `camera` float32 [n, 25]; `landmarks` float32 [n, 68, 2]; and the requested fields, int64, bool, float32 or string
    [n]. With `equal`, shapes are static, as TPUs require; without it n is unknown, since the last batch may be short.

    Each rank reads its own part of the shuffled shards, cut inside shards if these are few. Under tf.distribute a rank
    is an input pipeline: in `strategy.distribute_datasets_from_function(lambda c: ...)` pass
    rank=c.input_pipeline_id, world_size=c.num_input_pipelines and the batch size of c.get_per_replica_batch_size. With
    JAX a rank is a process, also on TPU hosts: pass rank=jax.process_index() and world_size=jax.process_count().

    Raises:
        ShardsError: the export is missing or not of format tfrecord, an option is out of range, or only one of rank and
            world size is known.
        tf.errors.DataLossError: on iterating, a record is damaged.
        tf.errors.UnknownError: on iterating, a shard has changed, or a JPEG is damaged; in a bucket, a record is
            damaged or cannot be read. The text contains the reason.
        tf.errors.InvalidArgumentError: on iterating, a picture has another size than the first one, or a PNG or WebP
            cannot be decoded.
    """
    source = ShardSource(options.path, options.split, channels=options.channels)
    if "tensorflow" not in get_format(source.manifest.format).readers:
        raise ShardsError(
            f"{options.path} is of format {source.manifest.format}, which tf.data does not read",
            "Export with --format tfrecord, or read it with loaders.torch or ShardSource",
        )
    order = options.sampler(StreamSampler, source, rank_and_world_size(options.rank, options.world_size, None))
    row = order.row(options.epoch, options.start)
    size, like = source[0]["image"].shape[:2], _channel_batch(source, np.zeros(1, np.int64), np.zeros(1, bool))
    records = _Records(source=source, options=options, size=size, like=like)
    traits = tf.data.Options()
    # The rank's share is already cut.
    traits.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # A checkpoint then holds the position and no pictures.
    traits.experimental_symbolic_checkpoint = True
    # TensorFlow treats reading a record inside a map as state; it is not.
    traits.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    if source.remote:
        # TensorFlow cannot read S3 itself: that moved to tensorflow-io, which does not support new releases.
        drawn = tf.data.Dataset.from_tensor_slices(tuple(row)).batch(options.batch_size)
        together = drawn.map(records.fetch, BATCHES_AHEAD, deterministic=True)
        samples = together.unbatch().apply(tf.data.experimental.assert_cardinality(len(row.indices)))
        # Some threads only wait for the network.
        traits.threading.private_threadpool_size = available_cores() + BATCHES_AHEAD
    else:
        samples = tf.data.Dataset.from_tensor_slices((*row, *source.places(row.indices)))
    read = records.sample if source.remote else records.read
    made = samples.map(read, options.parallel or tf.data.AUTOTUNE, deterministic=True)
    batches = made.batch(options.batch_size, drop_remainder=options.equal is not None).map(records.batch)
    return batches.prefetch(options.prefetch or tf.data.AUTOTUNE).with_options(traits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """Turns the records of a source into samples, and these into batches.

    Attributes:
        size: the pictures' height and width.
        like: the channels of a batch of one sample, whose shapes all have.
    """

    source: ShardSource
    options: TensorflowOptions
    size: tuple[int, int]
    like: Tensors

    def read(self, index: Any, flip: Any, shard: Any, offset: Any) -> tuple[Tensors, Any]:
        """Return a sample from the record at an offset of a file; TensorFlow reads it and compares its checksums."""
        file = tf.gather(tf.constant(list(map(str, self.source.files))), shard)
        # Without a buffer only this record is read, and not copied.
        variant = tf.raw_ops.TFRecordDatasetV2(filenames=file, compression_type="", buffer_size=0, byte_offsets=offset)
        record = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1).get_single_element()
        return self.sample(index, flip, record)

    def fetch(self, indices: Any, flips: Any) -> Any:
        """Return numbers, flips and records of a batch's samples, requested together; their checksums are compared."""

        def fetched(numbers: NDArray[np.int64]) -> NDArray[np.object_]:
            contents = np.empty(len(numbers), object)
            for row, stored in enumerate(self.source.stored(numbers)):
                try:
                    ((_, data),) = tfrecord.records(memoryview(stored))
                except (FormatError, ValueError) as error:
                    raise self.source.damaged(numbers[row], error) from None
                contents[row] = bytes(data)
            return contents

        records = tf.numpy_function(fetched, [indices], tf.string, stateful=False)
        return indices, flips, tf.ensure_shape(records, [None])

    def sample(self, index: Any, flip: Any, record: Any) -> tuple[Tensors, Any]:
        """Return a sample in the order of `ShardSource.batch`, its picture mirrored if `flip` is true, and `flip`."""
        layout = self.source.manifest.layout
        kinds = kinds_of(self.options.fields, layout)
        types = {"str": tf.string, "int": tf.int64, "bool": tf.int64, "float": tf.float32}
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("key", "image")}
        if layout.raw:
            features["image/shape"] = tf.io.FixedLenFeature([_CHANNELS], tf.int64)
        arrays = [name for name in ARRAY_SHAPES if getattr(layout, name)]
        features |= {name: tf.io.FixedLenFeature(ARRAY_SHAPES[name], tf.float32) for name in arrays}
        features |= {name: tf.io.FixedLenFeature([], types[kind]) for name, kind in kinds.items()}
        found = tf.io.parse_single_example(record, features)
        pixels = self._pixels(found)
        if self.options.mirror:
            pixels = tf.cond(flip, lambda: tf.reverse(pixels, [1]), lambda: pixels)
        sample = {"index": index, "image": pixels, **{name: found[name] for name in arrays}}
        for name, kind in kinds.items():
            sample[name] = tf.cast(found[name], tf.bool) if kind == "bool" else found[name]
        return sample, flip

    def _pixels(self, features: Tensors) -> Any:
        shape, image, manifest = [*self.size, _CHANNELS], features["image"], self.source.manifest
        if manifest.layout.raw:
            size = features["image/shape"]
        else:
            png = manifest.options["image"].endswith("png")
            pixels = _decoded_png(image) if png else decode_picture(image, features["key"])
            size = tf.shape(pixels, tf.int64)
        message = (
            f"A batch needs pictures of one size: export with --resolution. The first picture has shape {shape}, not"
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(size == shape), [message, size])]):
            if manifest.layout.raw:
                return tf.reshape(tf.io.decode_raw(image, tf.uint8), shape)
            return tf.ensure_shape(tf.identity(pixels), shape)

    def batch(self, samples: Tensors, flips: Any) -> Any:
        """Return a batch of `dataset`, with cameras, landmarks and fields mirrored as its pictures are.

        For a folder, check that its files are those that the source opened: TensorFlow opens them by name.
        """
        names = [name for name in MIRRORED if self.options.mirror and name in samples]

        def finish(numbers: NDArray[np.int64], flips: NDArray[np.bool_], *values: NDArray[Any]) -> list[NDArray[Any]]:
            if not self.source.remote:
                self.source.check_files(numbers)
            labels = dict(zip(names, map(np.array, values), strict=True))
            mirror_labels(labels, flips, self.size[1])
            return [numbers, *labels.values()]

        parts = [samples["index"], *(samples[name] for name in names)]
        types = [part.dtype for part in parts]
        done = tf.numpy_function(finish, [parts[0], flips, *parts[1:]], types, stateful=not self.source.remote)
        batch = dict(samples)
        for name, part, value in zip(["index", *names], parts, done, strict=True):
            batch[name] = tf.ensure_shape(value, part.shape)
        with tf.control_dependencies(done):
            # Every user of the batch needs the image: TensorFlow omits ops without an effect, and the check is one.
            batch["image"] = tf.identity(samples["image"])
        channels = self._channels(batch["index"], flips) if self.source.channels else {}
        batch |= channels
        if not self.options.labels:
            return batch
        labels = batch.get("camera", tf.zeros([tf.shape(flips)[0], 0]))
        fields = {name: batch[name] for name in (*self.options.fields, *channels)}
        return (batch["image"], labels, fields) if fields else (batch["image"], labels)

    def _channels(self, indices: Any, flips: Any) -> Tensors:
        """Return the channels of a batch, which `ShardSource` reads, mirrored as its pictures are."""
        arrays = tf.nest.flatten(self.like)
        types = [tf.string if array.dtype == object else array.dtype for array in arrays]

        def read(*of: NDArray[Any]) -> Any:
            return tf.nest.flatten(_channel_batch(self.source, *of))

        done = tf.numpy_function(read, [indices, flips], types, stateful=False)
        shaped = [tf.ensure_shape(one, [indices.shape[0], *a.shape[1:]]) for one, a in zip(done, arrays, strict=True)]
        found: Tensors = tf.nest.pack_sequence_as(self.like, shaped)
        return found


def _channel_batch(source: ShardSource, numbers: NDArray[np.int64], flips: NDArray[np.bool_]) -> Tensors:
    """Return the channels of a batch as arrays, mirrored as its pictures are; texts as bytes."""
    found = source.channel_batch(numbers) if source.channels else {}
    mirror_channels(found, source.channels, flips, last=True)
    return {name: _strings(value) if isinstance(value, list) else value for name, value in found.items()}


def _strings(values: list[Any]) -> NDArray[np.object_]:
    """Return texts, and objects as JSON, as an array of bytes."""
    texts = [value.encode() if isinstance(value, str) else msgspec.json.encode(value) for value in values]
    return np.array(texts, object)


def decode_picture(data: Any, key: Any) -> Any:
    """Return the pixels of a picture's file as `pictures.decoding.decoded` does; `key` is the sample's, for errors."""
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
    def pixels(data: bytes, key: bytes) -> Pixels:
        try:
            return np.ascontiguousarray(decoded(data))
        except (FormatError, PictureError) as error:
            name = key.decode(errors="replace")
            raise ShardsError(f"sample {name} is damaged: {error}", "See lpff-shards verify --deep") from None

    return tf.ensure_shape(tf.numpy_function(pixels, [data, key], tf.uint8, stateful=False), [None, None, _CHANNELS])
