"""`--image fast-png`: right pixels in all formats, same bytes after a stop; loaders find such files by their bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import write_lpff
from loading import write
from PIL import Image
from running import contents

from lpff_shards import MixOptions, SourceOptions, read_manifest, verify_export
from lpff_shards.formats.pictures import png
from lpff_shards.formats.pictures.decoding import decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders import ShardSource, worker_defaults
from lpff_shards.loaders.worker_defaults import resolve_workers

SIDE = 430
"""Large enough for numpy."""


def _pictures(folder: Path) -> dict[str, tuple[Any, Any]]:
    """The stored files and the changes that are recorded, by key."""
    manifest = read_manifest(folder)
    read = get_format(manifest.format).samples
    shards = (memoryview((folder / shard.file).read_bytes()) for shard in manifest.shards)
    samples = (sample for data in shards for sample in read(data, manifest.layout))
    return {sample.key: (sample.picture.data, sample.scalars["changes"]) for sample in samples}


@pytest.mark.parametrize("format", ["wds", "tfrecord", "zip", "parquet", "arrayrecord"])
def test_mirrors_and_copies_are_fast_pngs_and_an_export_goes_on(tmp_path: Path, format: str) -> None:
    if format in ("parquet", "arrayrecord"):
        pytest.importorskip({"parquet": "pyarrow", "arrayrecord": "array_record"}[format])
    sources = SourceOptions(lpff=str(write_lpff(tmp_path / "lpff")))
    given: dict[str, Any] = {"mix": MixOptions(rebalance="uniform"), "resolution": 32}
    if format == "zip":
        given["shards"], given["shuffle"] = None, None
    out = write(tmp_path / "out", format, sources, image="fast-png", **given)
    assert verify_export(out, deep=True).ok
    found, raw = _pictures(out), _pictures(write(tmp_path / "png", format, sources, image="stored-png", **given))
    assert found.keys() == raw.keys()
    assert any("mirrored" in changes for _, changes in found.values())
    for key, (data, changes) in found.items():
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert data == png.encode_fast(pixels)
        assert np.array_equal(pixels, decoded(raw[key][0]))
        assert changes.endswith("re-encoded as PNG for fast decoding")
    whole = contents(out)
    shard = out / read_manifest(out).shards[0].file
    shard.unlink()
    write(out, format, sources, image="fast-png", **given)
    assert contents(out) == whole


def test_kept_files_of_others_are_found_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    expected = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    for number, pixels in enumerate(expected):
        (own / f"{number}.png").write_bytes(png.encode_fast(pixels))
    sources = SourceOptions(dataset=(f"own={own}",), license_of=("own=CC-BY-4.0",), mirror=False)
    source = ShardSource(write(tmp_path / "out", "wds", sources, shuffle=False, shards=1))
    assert source.manifest.options["image"] == "keep"
    monkeypatch.setattr(png, "_decoder", lambda: pytest.fail("libspng was called"))
    assert np.array_equal(source.batch(range(3))["image"], expected)
    for number, sample in enumerate(source):
        assert np.array_equal(sample["image"], expected[number])
        sample["image"][0, 0] = 0  # it is writable


@pytest.mark.parametrize(
    ("image", "workers", "threads"),
    [("raw", 0, 2), ("fast-png", 3, 2), ("png", 3, 2), ("stored-png", 3, 2), ("jpeg", 3, 2)],
)
def test_processes_decode_all_but_raw_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, workers: int, threads: int
) -> None:
    source = ShardSource(write(tmp_path / "out", "wds", SourceOptions(demo=2), image=image, resolution=8))
    monkeypatch.setattr(worker_defaults, "available_cores", lambda: 3)
    assert resolve_workers(source, None, None, None)[:2] == (workers, threads)
