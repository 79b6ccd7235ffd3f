"""Other ways to load the same pictures, each in a process of its own.

`python -m benchmarks.loading_rivals NAME PATH WORKERS SECONDS` prints a `Run`, as `loaders.bench` does.
All give batches of `BATCH` pictures with their cameras.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.rivals import CROPS
from lpff_shards.loaders.bench import Run, measure

BATCH = 32
SIDE = 512


def plain_webdataset(path: Path, workers: int) -> Iterator[int]:
    """webdataset's own pipeline over any of our tars, pictures decoded by Pillow, unshuffled."""
    import webdataset as wds

    files = [str(file) for file in sorted(path.glob("*.tar"))]
    dataset = wds.WebDataset(files, shardshuffle=False, empty_check=False).decode("rgb8")
    batches = dataset.to_tuple("png;jpg;webp;image.npy", "camera.npy").batched(BATCH)
    made = batches if not workers else wds.WebLoader(batches, batch_size=None, num_workers=workers)
    while True:
        for images, _ in made:
            yield len(images)


class TrainersArchive:
    """A zip of stored PNGs as EG3D reads it: opened in each worker, decoded by pyspng, channels first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            self._names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            self._labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        self._zip: zipfile.ZipFile | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import pyspng

        self._zip = self._zip or zipfile.ZipFile(self._path)
        name = self._names[index]
        with self._zip.open(name) as file:
            image = pyspng.load(file.read())
        return image.transpose(2, 0, 1).copy(), np.array(self._labels[name], np.float32)


def write_archive(root: Path, out: Path) -> None:
    """The zip that EG3D's and StyleGAN's own tools write of an LPFF folder: PNGs of level 0 by Pillow, unpacked."""
    from PIL import Image

    cameras = json.loads((root / "camera_parameters.json").read_text())
    labels = []
    out.mkdir()
    with zipfile.ZipFile(out / "archive.zip", "w", zipfile.ZIP_STORED) as archive:
        for number, id in enumerate(sorted(cameras)):
            name, png = f"{number // 1000:05d}/img{number:08d}.png", io.BytesIO()
            Image.open(root / CROPS / f"{id}.png").save(png, "PNG", compress_level=0, optimize=False)
            archive.writestr(name, png.getvalue())
            labels.append([name, cameras[id]])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))


def trainers_archive(path: Path, workers: int) -> Iterator[int]:
    """EG3D's way: the archive in a shuffled DataLoader."""
    from torch.utils.data import DataLoader

    (file,) = path.glob("*.zip")
    loader = DataLoader(TrainersArchive(file), BATCH, shuffle=True, num_workers=workers)
    while True:
        for images, _ in loader:
            yield len(images)


def plain_tf_data(path: Path, _workers: int) -> Iterator[int]:
    """tf.data as its guide has it: files interleaved, parsed, decoded and batched in parallel."""
    import tensorflow as tf

    spec = {"image": tf.io.FixedLenFeature([], tf.string), "camera": tf.io.FixedLenFeature([25], tf.float32)}

    def parse(record: Any) -> Any:
        sample = tf.io.parse_single_example(record, spec)
        return tf.ensure_shape(tf.io.decode_png(sample["image"], channels=3), (SIDE, SIDE, 3)), sample["camera"]

    files = tf.data.Dataset.list_files(str(path / "*.tfrecord-*"), shuffle=False)
    records = files.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    batches = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    while True:
        for images, _ in batches:
            yield int(images.shape[0])


def copied_once(path: Path, _workers: int) -> Iterator[int]:
    """The limit: the bytes of a batch's raw pictures read from the shards into one array, in a shuffled order."""
    files = [file.open("rb", buffering=0) for file in sorted(path.glob("*.tar"))]
    size = SIDE * SIDE * 3
    places = [(file, at) for file in files for at in range(0, Path(file.name).stat().st_size - size, size)]
    order = np.random.default_rng(0)
    batch = np.empty((BATCH, size), np.uint8)
    while True:
        for row, place in enumerate(order.integers(0, len(places), BATCH)):
            file, at = places[place]
            file.seek(at)
            file.readinto(memoryview(batch[row]))
        yield BATCH


RIVALS: dict[str, Callable[[Path, int], Iterator[int]]] = {
    "webdataset": plain_webdataset,
    "trainers-archive": trainers_archive,
    "tf-data": plain_tf_data,
    "limit": copied_once,
}


def main() -> None:
    """Measures one."""
    name, path, workers, seconds = sys.argv[1:]
    started = time.perf_counter()
    batches = RIVALS[name](Path(path), int(workers))
    next(batches)
    start = time.perf_counter() - started
    run = Run(name, int(workers), *measure(batches, float(seconds)), start)
    print(msgspec.json.encode(run).decode())


if __name__ == "__main__":
    main()
