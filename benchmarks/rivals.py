"""Other ways to write the same samples, each timed inside a process of its own, imports left out.

`python -m benchmarks.rivals NAME INPUT OUT SYNC BYTES` prints the seconds that NAME took to write INPUT's samples,
about BYTES in all, to OUT. Every rival writes shards of `SHARD_BYTES`, or one file where it has no shards, and syncs
its files if SYNC is 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

SHARD_BYTES = 256 * 10**6
CROPS = "crop/eg3d"

Sample = tuple[str, Path, list[float], dict[str, Any]]


def samples(root: Path, part: int = 0, parts: int = 1) -> Iterator[Sample]:
    """Key, picture, camera and record of every sample, or of one of several equal parts."""
    cameras = json.loads((root / "camera_parameters.json").read_text())
    info = json.loads((root / "info.json").read_text())
    for number, id in enumerate(sorted(cameras)):
        if number % parts == part:
            yield id.replace("@", "-"), root / CROPS / f"{id}.png", cameras[id], info[id]


def gnu_tar(root: Path, out: Path) -> None:
    """The bare pictures, by GNU tar."""
    subprocess.run(["tar", "-cf", out / "pictures.tar", "-C", root / CROPS, "."], check=True)


def kernel_copy(root: Path, out: Path) -> None:
    """The bare pictures one behind the other in shard-sized files, copied inside the kernel: the limit."""
    target, room, number = -1, 0, 0
    for path in sorted((root / CROPS).iterdir()):
        size = path.stat().st_size
        if room < size:
            if target >= 0:
                os.close(target)
            target = os.open(out / f"copy-{number:06d}", os.O_WRONLY | os.O_CREAT)
            room, number = SHARD_BYTES, number + 1
        source = os.open(path, os.O_RDONLY)
        left = size
        while left:
            left -= os.copy_file_range(source, target, left)
        os.close(source)
        room -= size
    os.close(target)


def webdataset(root: Path, out: Path, part: int = 0, parts: int = 1) -> None:
    """The whole samples, by `webdataset.ShardWriter`."""
    import webdataset as wds

    pattern = str(out / f"wds-{part}-%06d.tar")
    with wds.ShardWriter(pattern, maxsize=SHARD_BYTES, maxcount=10**9, verbose=0) as writer:
        for key, picture, camera, record in samples(root, part, parts):
            numbers = np.array(camera, np.float32)
            writer.write({"__key__": key, "png": picture.read_bytes(), "camera.npy": numbers, "json": record})


def tfrecord(root: Path, out: Path, part: int = 0, parts: int = 1) -> None:
    """The whole samples, by `tf.io.TFRecordWriter`."""
    import tensorflow as tf

    def text(value: str) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    writer, room, number = None, 0, 0
    for key, picture, camera, record in samples(root, part, parts):
        data = picture.read_bytes()
        if writer is None or room < len(data):
            if writer is not None:
                writer.close()
            writer = tf.io.TFRecordWriter(str(out / f"{part}.tfrecord-{number:05d}"))
            room, number = SHARD_BYTES, number + 1
        features = {
            "key": text(key),
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data])),
            "camera": tf.train.Feature(float_list=tf.train.FloatList(value=camera)),
            "record": text(json.dumps(record)),
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        writer.write(example.SerializeToString())
        room -= len(data)
    if writer is not None:
        writer.close()


def mosaic(root: Path, out: Path) -> None:
    """The whole samples, by MosaicML streaming's `MDSWriter`."""
    from streaming import MDSWriter

    columns = {"key": "str", "png": "bytes", "camera": "ndarray", "json": "json"}
    with MDSWriter(out=str(out), columns=columns, size_limit=SHARD_BYTES) as writer:
        for key, picture, camera, record in samples(root):
            numbers = np.array(camera, np.float32)
            writer.write({"key": key, "png": picture.read_bytes(), "camera": numbers, "json": record})


def two_of(write: Callable[[Path, Path, int, int], None]) -> Callable[[Path, Path], None]:
    """The same in two processes, half of the samples each."""

    def run(root: Path, out: Path) -> None:
        processes = [get_context("fork").Process(target=write, args=(root, out, part, 2)) for part in (0, 1)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"a writer ended with {process.exitcode}")

    return run


RIVALS: dict[str, tuple[Sequence[str], Callable[[Path, Path], None]]] = {
    "in-kernel copy of the pictures": ((), kernel_copy),
    "GNU tar of the pictures": ((), gnu_tar),
    "webdataset.ShardWriter": (("webdataset",), webdataset),
    "webdataset.ShardWriter, 2 processes": (("webdataset",), two_of(webdataset)),
    "tf.io.TFRecordWriter": (("tensorflow",), tfrecord),
    "tf.io.TFRecordWriter, 2 processes": (("tensorflow",), two_of(tfrecord)),
    "MosaicML MDSWriter": (("streaming",), mosaic),
}
"""Name to the modules that are imported before the clock starts, and what writes."""


def touch_memory(size: int) -> None:
    """Takes memory and gives it back, so that what is written next need not wait for it.

    A virtual machine hands memory that was free for seconds back to its host, and getting it again takes longer than
    writing: without this, who comes after a pause is measured at half its speed.
    """
    np.zeros(size, np.uint8).fill(1)


def sync(folder: Path) -> None:
    """Waits until every file of a folder is on disk."""
    for path in (*(path for path in folder.rglob("*") if path.is_file()), folder):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def main() -> None:
    """Runs one rival and prints its seconds."""
    name, root, out, synced, size = sys.argv[1:]
    modules, write = RIVALS[name]
    for module in modules:
        __import__(module)
    touch_memory(int(size))
    start = time.perf_counter()
    write(Path(root), Path(out))
    if synced == "1":
        sync(Path(out))
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
