"""ShardSource finds in every kind of export what our readers, tarfile with Pillow, and tf.data find."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import tarfile
import threading
from pathlib import Path
from types import ModuleType
from weakref import WeakValueDictionary

import dataset_factories
import numpy as np
import pytest
from loading import NAMES, assert_batch, assert_column, assert_same_array, assert_sample, lpff, lpff_ids, truths, write
from PIL import Image
from reading import read_tfrecord

from lpff_shards import MixOptions, ShardsError, SourceOptions, read_manifest
from lpff_shards.loaders import ShardSource, files

WAYS = [("wds", "json"), ("wds", "msgpack"), ("tfrecord", "json")]
FORMATS = ("wds", "tfrecord")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceOptions]:
    """Sources with cameras, landmarks, both, neither, and both of some pictures only."""
    root = tmp_path_factory.mktemp("published")
    lpff_folder = str(dataset_factories.write_lpff(root / "lpff"))
    ffhq = str(dataset_factories.write_ffhq_stylegan(root / "ffhq"))
    v2 = str(dataset_factories.write_ffhq_v2(root / "v2.json", range(3)))
    return {
        "camera": SourceOptions(lpff=lpff_folder),
        "both": SourceOptions(lpff=lpff_folder, alignment="realign2400"),
        "neither": SourceOptions(ffhq=ffhq, alignment="stylegan"),
        "landmarks": SourceOptions(ffhq=ffhq, ffhq_metadata=v2, alignment="stylegan"),
        "some": SourceOptions(ffhq=ffhq, ffhq_metadata=v2, lpff=lpff_folder, alignment="stylegan"),
    }


@pytest.mark.parametrize(
    ("image", "holds"),
    [
        *((image, "both") for image in ("png", "fast-png", "stored-png", "jpeg", "webp")),
        *((image, holds) for image in ("keep", "raw") for holds in ("camera", "both", "neither", "landmarks", "some")),
    ],
)
@pytest.mark.parametrize(("format", "metadata"), WAYS)
def test_every_way_of_reading_finds_what_our_readers_find(
    tmp_path: Path, published: dict[str, SourceOptions], format: str, metadata: str, image: str, holds: str
) -> None:
    out = write(tmp_path / "out", format, published[holds], image=image, metadata=metadata)
    source, expected = ShardSource(out), truths(out)
    assert len(source) == len(expected) == read_manifest(out).samples
    found = list(source)
    assert len(found) == len(expected)
    for sample, truth in zip(found, expected, strict=True):
        assert_sample(sample, truth)
    numbers = [len(source) - 1, 0, 1, 0]
    assert_batch(source.batch(numbers, NAMES), expected, numbers)
    for name in NAMES:
        assert_column(name, source.column(name), expected)
    assert source.decodes == (image != "raw")
    if holds == "some":
        assert {truth.fields["has_camera"] for truth in expected} == {True, False}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An export of each format: mirrors, replicas and three splits of several shards."""
    root = tmp_path_factory.mktemp("split")
    mix = MixOptions(rebalance="uniform", splits="train=0.5,val=0.25,test=0.25")
    return {format: write(root / format, format, lpff(root, 24, mirror=True), 6, mix=mix) for format in FORMATS}


@pytest.mark.parametrize("format", FORMATS)
def test_splits_are_read_alone_and_one_behind_the_other(split: dict[str, Path], format: str) -> None:
    out = split[format]
    manifest = read_manifest(out)
    assert len(manifest.splits) == 3
    assert len(manifest.shards) > 3
    for name in manifest.splits:
        source = ShardSource(out, name)
        assert set(source.column("split")) == {name}
        assert [shard.split for shard in source.shards] == [name] * len(source.shards)
        assert_batch(source.batch(range(len(source)), NAMES), truths(out, name), list(range(len(source))))
    everything = ShardSource(out, None)
    expected = truths(out, None)
    assert len(everything) == manifest.samples
    assert list(everything.column("key")) == [truth.fields["key"] for truth in expected]
    fields = [truth.fields for truth in expected]
    assert {f["mirrored"] for f in fields} == {True, False}
    assert max(f["replica"] for f in fields) > 0


def test_tarfile_and_pillow_find_the_same(split: dict[str, Path]) -> None:
    out = split["wds"]
    source = ShardSource(out, None)
    members = []
    for shard in read_manifest(out).shards:
        with tarfile.open(out / shard.file) as archive:
            members += [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    found = {}
    for name, data in members:
        found.setdefault(name.partition(".")[0], {})[name.partition(".")[2]] = data
    assert list(found) == list(source.column("key"))
    for sample, parts in zip(source, found.values(), strict=True):
        assert_same_array(sample["image"], np.asarray(Image.open(io.BytesIO(parts["png"]))))
        assert_same_array(sample["camera"], np.load(io.BytesIO(parts["camera.npy"])))


def test_tf_data_finds_the_same(split: dict[str, Path], tf: ModuleType) -> None:
    out = split["tfrecord"]
    found = read_tfrecord(out, tf)
    source = ShardSource(out, None)
    assert len(found) == len(source)
    for sample in source:
        other = found[sample["metadata"]["key"]]
        assert_same_array(sample["image"], tf.io.decode_png(other.picture).numpy())
        assert_same_array(sample["camera"], other.camera)
        assert sample["metadata"] == other.fields


@pytest.fixture(scope="module", params=[("wds", "keep"), ("wds", "raw"), ("tfrecord", "keep"), ("tfrecord", "raw")])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nineteen samples in four shards."""
    format, image = request.param
    root = tmp_path_factory.mktemp("small")
    return write(root / "out", format, lpff(root, 19), 4, image=image)


def test_numbers_are_python_s(small: Path) -> None:
    source, expected = ShardSource(small), truths(small)
    for number in (-1, -19, np.int64(3), np.int32(-2), np.uint8(7)):
        assert_sample(source[number], expected[int(number)])
    for number in (19, -20, np.int64(19), 10**12):
        with pytest.raises(IndexError):
            source[number]
        with pytest.raises(IndexError):
            source.batch([0, number])
    for odd in (slice(0, 2), slice(0, 1), 1.0, "1", None, [1]):
        with pytest.raises(TypeError):
            source[odd]  # type: ignore[index]


def test_a_batch_tells_the_samples_numbers(small: Path) -> None:
    source = ShardSource(small)
    expected = truths(small)
    assert_batch(source.batch([-1, 3, -19], NAMES), expected, [18, 3, 0])
    assert_batch(source.batch(np.array([2, 5], np.int32), NAMES), expected, [2, 5])
    assert_batch(source.batch(range(4, 9), NAMES), expected, [4, 5, 6, 7, 8])
    assert set(source.batch([1])) == {"index", "image", "camera", "landmarks"}


def test_channels_first_are_the_same_pixels_seen_otherwise(small: Path) -> None:
    last, first = ShardSource(small), ShardSource(small, order="first")
    assert_same_array(first[3]["image"], np.moveaxis(last[3]["image"], 2, 0))
    found, expected = first.batch([3, 1])["image"], last.batch([3, 1])["image"]
    assert_same_array(found, np.moveaxis(expected, 3, 1))
    assert np.moveaxis(found, 1, 3).flags.c_contiguous


def test_what_is_unknown_is_refused(small: Path) -> None:
    for split in ("val", "", "trai"):
        with pytest.raises(ShardsError, match=r"has no split '.*It has: train"):
            ShardSource(small, split)
    with pytest.raises(ShardsError, match="order 'middle' is not known"):
        ShardSource(small, order="middle")  # type: ignore[arg-type]
    source = ShardSource(small)
    for odd in ("key", None, 3):
        with pytest.raises(ShardsError, match="is not a list of names"):
            source.batch([0], odd)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match=f"sample {len(source)} of {len(source)}"):
        source.batch([len(source)])
    for numbers in ([1.5], ["a"]):
        with pytest.raises(TypeError):
            source.batch(numbers)  # type: ignore[arg-type]
    for fields in (["color"], ["key", "image"]):
        with pytest.raises(ShardsError, match=r"is not known\. It is one of: key, dataset"):
            source.batch([0], fields)
    with pytest.raises(ShardsError, match="field 'camera' is not known"):
        source.column("camera")
    with pytest.raises(ShardsError, match="no samples"):
        source.batch([])


def test_a_folder_without_a_manifest_is_refused(small: Path, tmp_path: Path) -> None:
    for file in small.iterdir():
        if file.is_file() and file.name != "manifest.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ShardsError, match=r"has no manifest\.json"):
        ShardSource(tmp_path)
    with pytest.raises(ShardsError, match="is not a folder"):
        ShardSource(tmp_path / "nowhere")


def _digest(source: ShardSource) -> list[bytes]:
    return [source[n]["image"].tobytes() + source[n]["camera"].tobytes() for n in range(len(source))]


def test_pickled_sources_are_the_same(small: Path) -> None:
    # The earlier spelling of `order`.
    source = ShardSource(small, channels="first")
    source[0]
    other = pickle.loads(pickle.dumps(source))
    assert (len(other), other.order, other.shards) == (len(source), "first", source.shards)
    assert _digest(other) == _digest(source)
    assert_batch({**other.batch([4], NAMES), "image": np.moveaxis(other.batch([4])["image"], 1, 3)}, truths(small), [4])


def _send(source: ShardSource, pipe: object) -> None:
    pipe.send(_digest(source))  # type: ignore[attr-defined]


def test_forked_processes_read_the_same(small: Path) -> None:
    source = ShardSource(small)
    expected = _digest(source)
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(3)]
    children = [context.Process(target=_send, args=(source, send)) for _, send in pipes]
    for child in children:
        child.start()
    for receive, _ in pipes:
        assert receive.poll(30)
        assert receive.recv() == expected
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert _digest(source) == expected


def test_a_fork_while_another_thread_opens_a_shard_does_not_hang(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ShardSource(small)
    expected = _digest(ShardSource(small))
    opening, go_on, open_ = threading.Event(), threading.Event(), files.os.open

    def slow(path: object, flags: int, *rest: object) -> int:
        if threading.current_thread() is thread:
            opening.set()
            assert go_on.wait(30)
        return open_(path, flags, *rest)  # type: ignore[arg-type]

    thread = threading.Thread(target=source.__getitem__, args=(0,))
    monkeypatch.setattr(files.os, "open", slow)
    thread.start()
    assert opening.wait(30)
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(source, send))
    child.start()
    came = receive.poll(10)
    if not came:
        child.kill()
    go_on.set()
    thread.join()
    assert came
    assert receive.recv() == expected
    child.join(30)


def test_threads_read_the_same(small: Path) -> None:
    source, expected = ShardSource(small), _digest(ShardSource(small))
    found: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: found.append(_digest(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_shard_that_two_threads_open_at_once_stays_open_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expected, open_ = ShardSource(small), _digest(ShardSource(small)), files.os.open

    def beaten(*args: object) -> int:
        monkeypatch.setattr(files.os, "open", open_)
        source[0]
        return open_(*args)  # type: ignore[arg-type]

    before = _open_files()
    monkeypatch.setattr(files.os, "open", beaten)
    assert source[0]["image"].tobytes() in expected[0]
    assert _open_files() == before + 1
    assert _digest(source) == expected
    assert _open_files() == before + 4


@pytest.mark.parametrize("most", [1, 2, 4])
def test_more_shards_than_stay_open(small: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    expected = _digest(ShardSource(small))
    monkeypatch.setattr(files, "MOST_OPEN", most)
    # Sources of other tests may still be around.
    monkeypatch.setattr(files, "_SOURCES", WeakValueDictionary())
    before = _open_files()
    source = ShardSource(small)
    for _ in range(3):
        assert _digest(source) == expected
        assert _open_files() == before + most
    del source
    assert _open_files() == before


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("image", ["keep", "raw"])
@pytest.mark.parametrize("format", FORMATS)
def test_one_sample(tmp_path: Path, format: str, image: str) -> None:
    out = write(tmp_path / "out", format, lpff(tmp_path, 1), 1, image=image)
    (expected,) = truths(out)
    source = ShardSource(out)
    assert len(source) == 1
    assert_sample(source[0], expected)
    assert_sample(source[-1], expected)
    assert_batch(source.batch([0, 0, 0], NAMES), [expected], [0, 0, 0])


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("format", FORMATS)
def test_shards_whose_samples_were_all_left_out(tmp_path: Path, format: str, indexed: bool) -> None:
    sources, ids = lpff(tmp_path, 6), lpff_ids(6)
    for bad in (0, 3, 5):
        (Path(str(sources.lpff)) / "realign2400" / f"{ids[bad]}.png").write_bytes(dataset_factories.undecodable())
    out = write(tmp_path / "out", format, sources, 6, image="jpeg", shuffle=False, on_error="skip")
    for index in [] if indexed else list(out.rglob("*.idx")):
        index.unlink()
    source, expected = ShardSource(out), truths(out)
    assert [shard.samples for shard in source.shards] == [0, 1, 1, 0, 1, 0]
    assert_batch(source.batch([2, 0, 1], NAMES), expected, [2, 0, 1])
    assert list(source.column("source_id")) == [ids[1], ids[2], ids[4]]


@pytest.mark.parametrize("image", ["keep", "jpeg", "raw"])
@pytest.mark.parametrize("format", FORMATS)
def test_pictures_of_several_sizes_are_read_alone_and_make_no_batch(tmp_path: Path, format: str, image: str) -> None:
    sources = lpff(tmp_path, 4)
    # Landmarks of other sizes would be refused.
    (Path(str(sources.lpff)) / "realign2400_lm.json").unlink()
    ids = lpff_ids(4)
    for id, size in zip(ids, [(1, 1), (700, 3), (3, 700), (1000, 900)], strict=True):
        pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(Path(str(sources.lpff)) / "realign2400" / f"{id}.png")
    out = write(tmp_path / "out", format, sources, 1, image=image)
    source, expected = ShardSource(out), truths(out)
    for number, truth in enumerate(expected):
        assert_sample(source[number], truth)
        assert_batch(source.batch([number, number], NAMES), expected, [number, number])
    sizes = [truth.pixels.shape[1::-1] for truth in expected]
    with pytest.raises(ShardsError) as caught:
        source.batch([2, 3])
    text = str(caught.value)
    assert f"sample 3 has a picture of {sizes[3][0]}x{sizes[3][1]}, others of its batch of {sizes[2][0]}x" in text
    assert "--resolution" in text


@pytest.mark.parametrize("image", ["keep", "raw"])
@pytest.mark.parametrize("format", FORMATS)
def test_pictures_may_start_anywhere_about_the_first_bytes_that_are_read(
    tmp_path: Path, format: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = lpff(tmp_path, 2)
    path = Path(str(sources.lpff)) / "info.json"
    dataset_factories.edit(path, lambda info: {id: _long_author(record) for id, record in info.items()})
    out = write(tmp_path / "out", format, sources, 1, image=image)
    expected = truths(out)
    assert len(expected[0].fields["author"]) == 5000
    (shard,) = out.glob("lpff-train*0.tar") if format == "wds" else out.glob("*.tfrecord-*")
    start = shard.read_bytes().find(b"\x05image")
    for head in [4096, *range(start - 5, start + 30)] if format == "tfrecord" else [4096]:
        monkeypatch.setattr("lpff_shards.loaders.source.HEAD", head)
        source = ShardSource(out)
        if image == "raw":
            assert_batch(source.batch([1, 0], NAMES), expected, [1, 0])
        assert list(source.column("title")) == [truth.fields["title"] for truth in expected]


def _long_author(record: dict[str, object]) -> dict[str, object]:
    return {**record, "image_info": {**record["image_info"], "username": "ü漢😀\u202e" * 1250}}  # type: ignore[dict-item]


@pytest.mark.parametrize(("format", "metadata"), WAYS)
def test_titles_of_every_script_come_back(tmp_path: Path, format: str, metadata: str) -> None:
    titles = ["Zoë — 漢字 😀", "\u202eright to left", 'quotes "\\" and\ttabs\nand lines', "e\u0301 \x00 \x7f"]
    ffhq = str(dataset_factories.write_ffhq_stylegan(tmp_path / "ffhq", len(titles)))
    v2 = dataset_factories.write_ffhq_v2(tmp_path / "v2.json", range(len(titles)))
    dataset_factories.edit(v2, lambda found: {i: _titled(record, titles[int(i)]) for i, record in found.items()})
    sources = SourceOptions(ffhq=ffhq, ffhq_metadata=str(v2), alignment="stylegan")
    out = write(tmp_path / "out", format, sources, metadata=metadata)
    source = ShardSource(out)
    assert list(source.column("title")) == [truth.fields["title"] for truth in truths(out)]
    assert source.batch([1, 2], ["title"])["title"] == list(source.column("title")[1:3])
    assert titles[0] in set(source.column("title"))


def _titled(record: dict[str, dict[str, object]], title: str) -> dict[str, object]:
    return {**record, "metadata": {**record["metadata"], "photo_title": title}}
