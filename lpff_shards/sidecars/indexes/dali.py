"""NVIDIA DALI's index files: where each sample's members, or each record, start and how long they are."""

from __future__ import annotations

from lpff_shards.formats.containers.tar import BLOCK, padded
from lpff_shards.schemas.receipt import ShardReceipt

VERSION = "v1.2"


def of_tar(shard: ShardReceipt) -> bytes:
    """What `fn.readers.webdataset` takes as `index_paths`: a line a sample, four words a member."""
    lines = [f"{VERSION} {len(shard.keys)}"]
    for key, start, (kind, *sizes) in zip(shard.keys, shard.offsets, shard.members, strict=False):
        at, words = start, []
        for suffix, size in zip(shard.suffixes[kind], sizes, strict=True):
            words.append(f"{suffix} {at + BLOCK} {size} {key}.{suffix}")
            at += BLOCK + padded(size)
        lines.append(" ".join(words))
    return "".join(f"{line}\n" for line in lines).encode()


def of_records(shard: ShardReceipt) -> bytes:
    """What `fn.readers.tfrecord` takes as `index_path`: offset and length of each record, its framing included."""
    spans = zip(shard.offsets, shard.offsets[1:], strict=False)
    return "".join(f"{start} {end - start}\n" for start, end in spans).encode()
