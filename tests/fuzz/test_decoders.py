"""What decodes raises what its documentation says, and nothing else, whatever it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import mutators
import pytest
from dataset_factories import picture, write_lpff, zip_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import run

from lpff_shards.formats.base import SampleError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest, from_json, read_manifest
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.folder import OutputState
from lpff_shards.sources.io.zip_tree import ZipError, read_directory

RANDOMS = st.randoms(use_true_random=False)
IDS = ("1@N01_500_01", "2@N02_501_01")
many = settings(max_examples=300, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    ("kind", "mutate"), [("PNG", mutators.png), ("JPEG", mutators.jpeg), ("WEBP", mutators.webp)]
)  # fmt: skip
@many
@given(draw=RANDOMS)
def test_a_picture_decodes_or_is_refused(kind: str, mutate: mutators.Mutator, draw: Random) -> None:
    with contextlib.suppress(FormatError, PictureError):
        decoded(mutate(draw, picture("one", 8, kind)))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    source = write_lpff(tmp_path_factory.mktemp("source") / "lpff", IDS, ["eg3d"])
    for format in ("wds", "tfrecord", "zip"):
        out = source.parent / format
        assert run("export", "-q", "--format", format, "--lpff", source, "--out", out).returncode == 0
    return lambda format: source.parent / format


@pytest.mark.parametrize(
    ("format", "mutate"), [("wds", mutators.tar), ("tfrecord", mutators.tfrecord), ("zip", mutators.zipped)]
)
@many
@given(draw=RANDOMS)
def test_a_shard_is_read_or_refused(
    exports: Callable[[str], Path], format: str, mutate: mutators.Mutator, draw: Random
) -> None:
    manifest = read_manifest(exports(format))
    data = (exports(format) / manifest.shards[0].file).read_bytes()
    with contextlib.suppress(SampleError):
        for _ in get_format(format).samples(memoryview(mutate(draw, data)), manifest.layout):
            pass


@pytest.mark.parametrize(
    ("file", "type"),
    [
        ("manifest.json", Manifest),
        (".lpff-shards/plan.json", OutputState),
        (".lpff-shards/receipts/lpff-train-000000.tar.json", ShardReceipt),
    ],
)
@many
@given(draw=RANDOMS)
def test_state_is_read_or_none(exports: Callable[[str], Path], file: str, type: type, draw: Random) -> None:
    from_json(mutators.json_text(draw, (exports("wds") / file).read_bytes()), type)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("zip")
    return zip_folder(write_lpff(folder / "lpff", IDS, ["eg3d"]), folder / "lpff.zip").read_bytes()


@many
@given(draw=RANDOMS)
def test_a_zip_s_directory_is_read_or_refused(archive: bytes, draw: Random) -> None:
    data = mutators.zipped(draw, archive)
    with contextlib.suppress(ZipError):
        read_directory(lambda at, size: data[at : at + size], len(data))
