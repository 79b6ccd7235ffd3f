"""Paths of buckets and of the file system seen alike, as far as that needs no store."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import wait_for

from lpff_shards.errors import ShardsError
from lpff_shards.manifest import read_manifest
from lpff_shards.schemas.uris import is_uri, scheme_of
from lpff_shards.sources.io.tree import open_tree
from lpff_shards.storage import connect
from lpff_shards.storage.bucket import BucketPath, reason
from lpff_shards.storage.path import (
    exists,
    is_file,
    is_folder,
    listed,
    names_in,
    on_disk,
    place,
    read_if_there,
    read_whole,
)
from lpff_shards.storage.prefetch import prefetch
from lpff_shards.storage.prefix import MOST_PARTS, PART, part_size

NAMES = st.from_regex(r"[a-zA-Z0-9_=-][a-zA-Z0-9._=-]{0,20}", fullmatch=True)


@given(st.sampled_from(["s3", "gs"]), NAMES, st.lists(NAMES, max_size=4))
def test_a_uri_is_a_path_and_back(scheme: str, bucket: str, parts: list[str]) -> None:
    uri = "/".join([f"{scheme}://{bucket}", *parts])
    found = place(uri)
    assert isinstance(found, BucketPath)
    assert str(found) == str(place(f"{uri}/")) == uri
    assert pickle.loads(pickle.dumps(found)) == found
    below = found / "a.tar"
    assert (below.name, below.suffix, str(below.parent), str(below)) == ("a.tar", ".tar", uri, f"{uri}/a.tar")
    assert below.key == "/".join([*parts, "a.tar"])


@pytest.mark.parametrize("text", ["S3://b/x", "s3:/b/x", "GS:b", "gcs://b/x", "https://b.example/x"])
def test_what_only_looks_like_a_uri_is_no_folder(text: str) -> None:
    with pytest.raises(ShardsError, match="is not supported"):
        place(text)
    assert isinstance(place(f"./{text}"), Path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://",
        "gs:///x",
        "s3://b/x//y",
        "s3://b//x",
        "s3://b/x//",
        "s3://b//",
        "gs://b/../x",
        "s3://b/./x",
        "s3://b/x\ny",
    ],
)
def test_a_uri_without_a_place_is_refused(uri: str) -> None:
    with pytest.raises(ShardsError, match=r"names no bucket|has an empty part or a dotted one|is not printable"):
        place(uri)


@pytest.mark.parametrize(
    ("text", "scheme", "ours"),
    [("s3://b", "s3", True), ("gs://b/x", "gs", True), ("hdfs://n/x", "hdfs", False), ("a/b", None, False)],
)
def test_what_is_a_uri(text: str, scheme: str | None, ours: bool) -> None:
    assert scheme_of(text) == scheme
    assert is_uri(text) is ours
    assert scheme_of(Path("a/b")) is None


def test_files_are_asked_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    there = tmp_path / "a"
    assert (bytes(read_whole(there)), bytes(read_whole(tmp_path / "empty"))) == (b"0123456789", b"")
    assert (read_if_there(there), read_if_there(tmp_path / "none")) == (b"0123456789", None)
    assert set(names_in(tmp_path)) == {"a", "empty", "folder"}
    assert {name: one.size for name, one in listed(tmp_path).items()} == {"a": 10, "empty": 0}
    assert (names_in(tmp_path / "none"), dict(listed(tmp_path / "none"))) == ((), {})
    with on_disk(there) as path:
        assert path == there


@given(st.integers(0, 5 * 10**12))
def test_parts_are_neither_too_many_nor_too_small(size: int) -> None:
    part = part_size(size)
    assert part >= PART
    assert -(-size // part) <= MOST_PARTS


def test_answers_come_in_order_and_few_wait() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in count():
            asked.append(number)
            yield number

    before = threading.active_count()
    answers = prefetch(lambda number: number * 2, items(), at_once=3)
    assert [next(answers) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(asked) <= 5 + 3 + 1
    answers.close()
    wait_for(lambda: threading.active_count() == before)
    assert list(prefetch(str, range(3))) == ["0", "1", "2"]
    assert threading.active_count() == before


def test_an_error_comes_in_its_turn() -> None:
    def ask(number: int) -> int:
        if number == 2:
            raise OSError(5, "broken")
        return number

    answers = prefetch(ask, range(5))
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(OSError, match="broken"):
        next(answers)


STATUS = "Server returned non-2xx status code: "
SAID = [
    (
        f"Generic S3 error: Error performing GET http://h/b/x in 4ms - {STATUS}416 Range Not Satisfiable: <?xml?>\n"
        "<Error><Code>InvalidRange</Code><Message>Not satisfiable</Message></Error>\n\nDebug source:\nX",
        "InvalidRange: Not satisfiable",
    ),
    (
        "Generic S3 error: Error performing PUT http://h/b/x in 2s, after 10 retries, max_retries: 10, "
        f"retry_timeout: 180s  - {STATUS}503 Service Unavailable: \n\nDebug source:\nGeneric {{",
        "the store returned 503 Service Unavailable (tried 11 times)",
    ),
    (
        "Generic S3 error: Error performing HEAD http://h/b/x in 100ms, after 1 retries, max_retries: 1, "
        "retry_timeout: 180s  - HTTP error: error sending request\n\nDebug source:\nGeneric {",
        "http://h: HTTP error: error sending request (tried 2 times)",
    ),
]


@pytest.mark.parametrize(("said", "told"), SAID)
def test_what_a_store_says_is_one_line(said: str, told: str) -> None:
    assert reason(said) == told


# Threads of other tests may still be there, of which Python from 3.12 on warns.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_told_what_to_do() -> None:
    connect._first_user.cache_clear()
    try:
        connect._first_user()
        pid = os.fork()
        if not pid:
            try:
                connect.connect("s3", "bucket")
            except ShardsError as error:
                os._exit(7 if 'multiprocessing_context="spawn"' in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    finally:
        connect._first_user.cache_clear()


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Makes the system refuse to tell of any path, as Python from 3.14 on hides it in `Path.exists` and the like."""

    def refuse(path: Path, **_: object) -> os.stat_result:
        raise OSError(request.param, os.strerror(request.param), str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    for name in ("exists", "is_file", "is_dir"):
        monkeypatch.setattr(Path, name, lambda _: False)


UNKNOWN = [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG]


@pytest.mark.parametrize("unanswered", UNKNOWN, ids=errno.errorcode.get, indirect=True)
@pytest.mark.parametrize("ask", [exists, is_file, is_folder, read_if_there, names_in, listed])
def test_what_cannot_be_known_is_not_taken_for_absent(unanswered: None, ask: Callable[[Path], object]) -> None:
    with pytest.raises(OSError, match=r"somewhere"):
        ask(Path("somewhere"))


@pytest.mark.parametrize("unanswered", UNKNOWN, ids=errno.errorcode.get, indirect=True)
@pytest.mark.parametrize("read", [read_manifest, lambda path: open_tree("--lpff", path)], ids=["export", "source"])
def test_what_cannot_be_known_is_told_with_the_reason(
    unanswered: None, read: Callable[[str], object], request: pytest.FixtureRequest
) -> None:
    reason = os.strerror(request.node.callspec.params["unanswered"])
    with pytest.raises(ShardsError, match=rf"somewhere.* cannot be .*: {reason}"):
        read("somewhere")


@pytest.mark.parametrize("name", ["missing", "file/below", "loop", "dangling", "n\0l"])
def test_what_is_absent_is_absent(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    path = tmp_path / name
    assert (exists(path), is_file(path), is_folder(path), names_in(path), read_if_there(path)) == (
        False, False, False, (), None
    )  # fmt: skip


def test_files_folders_and_others_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    asked = {name: tmp_path / name for name in ("file", "link", "pipe")}
    assert {name: (exists(path), is_file(path), is_folder(path)) for name, path in asked.items()} == {
        "file": (True, True, False), "link": (True, False, True), "pipe": (True, False, False)
    }  # fmt: skip
