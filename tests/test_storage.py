"""One contract for every place that an export writes: a folder and a bucket's prefix."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from floors import PACKAGE
from msgspec import structs
from stores import Bucket

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.receipt import ReceiptBuilder
from lpff_shards.storage.base import Storage
from lpff_shards.storage.file_io import checksum_of
from lpff_shards.storage.path import (
    StoragePath,
    is_remote,
    listed,
    names_in,
    place,
    read_if_there,
    remove_empty,
    remove_tree,
)
from lpff_shards.storage.prefix import storage_of

BYTES = b"12345678" * 1000


@pytest.fixture(params=["folder", "s3", "gcs"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> StoragePath:
    """An empty place."""
    if request.param == "folder":
        return tmp_path / "out"
    bucket: Bucket = request.getfixturevalue(request.param)
    return place(f"{bucket.uri}/out")


@pytest.fixture
def storage(root: StoragePath) -> Storage:
    return storage_of(root)


def test_a_file_written_in_pieces_appears_when_it_is_finished(storage: Storage) -> None:
    with storage.lock(None), storage.atomic_file("a.tar", len(BYTES)) as growing:
        growing.write([BYTES[:10], BYTES[10:]])
        assert read_if_there(storage.root / "a.tar") is None
        mark = growing.finish()
    assert read_if_there(storage.root / "a.tar") == BYTES
    assert bool(mark) is is_remote(storage.root)


def test_a_file_that_is_given_up_never_appears(storage: Storage) -> None:
    with storage.lock(None):
        with pytest.raises(RuntimeError), storage.atomic_file("a.tar", 10) as growing:
            growing.write([BYTES])
            raise RuntimeError
        with storage.staging_path("b") as path:
            path.write_bytes(BYTES)
        storage.clear_unfinished(alone=True)
    assert not [name for name in names_in(storage.root) if not name.startswith(".")]


def test_a_file_that_a_library_made_is_kept(storage: Storage) -> None:
    with storage.lock(None), storage.staging_path("made") as path:
        path.write_bytes(BYTES)
        storage.keep(path, "b.zip")
    assert read_if_there(storage.root / "b.zip") == BYTES


def test_small_files_are_replaced_whole_in_any_folder(storage: Storage) -> None:
    for data in (b"one", b"two"):
        storage.write("deep/er/a.json", data)
        storage.write("b.json", data, durable=True)
        storage.sync(("deep/er/a.json", "b.json", "deep", ""))
        assert read_if_there(storage.root / "deep/er/a.json") == read_if_there(storage.root / "b.json") == data


def test_what_was_created_is_not_created_again(storage: Storage) -> None:
    assert storage.create("plan.json", b"ours")
    with pytest.raises(FileExistsError):
        storage.create("plan.json", b"theirs")
    assert read_if_there(storage.root / "plan.json") == b"ours"


def test_a_file_is_known_again_and_another_is_not(storage: Storage) -> None:
    with storage.lock(None), storage.atomic_file("a.tar", len(BYTES)) as growing:
        growing.write([BYTES])
        mark = growing.finish()
    receipt = structs.replace(
        ReceiptBuilder().build("a.tar", len(BYTES)),
        **{"algorithm": "blake3", "checksum": checksum_of(BYTES, "blake3"), "etag": mark},
    )
    assert storage.same("a.tar", listed(storage.root)["a.tar"], receipt)
    storage.write("a.tar", bytes(len(BYTES)))
    assert not storage.same("a.tar", listed(storage.root)["a.tar"], receipt)


def test_folders_go_with_all_that_is_in_them(storage: Storage) -> None:
    storage.write("parts/x/a", b"1")
    storage.write("kept", b"1")
    remove_tree(storage.root / "parts")
    remove_tree(storage.root / "absent")
    remove_empty(storage.root / "absent")
    assert names_in(storage.root / "parts/x") == () and read_if_there(storage.root / "kept") == b"1"


def test_a_second_export_waits_where_there_are_locks(storage: Storage) -> None:
    with storage.lock(None) as alone:
        assert alone is not is_remote(storage.root)
        if alone:
            with pytest.raises(ShardsError, match="being written by another export"), storage.lock(0.0):
                pass


def test_nothing_outside_asks_which_kind_of_place_it_is() -> None:
    kinds = {"Path", "StoragePath", "BucketPath", "LocalFolder", "BucketPrefix"}
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "storage"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                asked = set(re.findall(r"\w+", ast.unparse(node.args[1])))
                assert not asked & kinds, f"{path.relative_to(PACKAGE)} asks {ast.unparse(node)}"
