"""How many files may be open is the system's: sources share what there is, and commands do with few."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import pytest
from loading import lpff, write
from running import run_after

from lpff_shards import ShardsError
from lpff_shards.errors import ExportFailed
from lpff_shards.loaders import ShardSource, files

SHARDS = 70
LIMIT = 64


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More shards than files may be open."""
    root = tmp_path_factory.mktemp("out")
    return write(root / "out", "wds", lpff(root, SHARDS), SHARDS, image="raw")


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A limit of a few files more than this process has open; sources of other tests have no part in it."""
    monkeypatch.setattr(files, "_SOURCES", WeakValueDictionary())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    # Besides the files of this process there is room for the fourth that sources take, and a few more.
    limit = max(highest + 25, (highest + 15) * 4 // 3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _nothing_free() -> Iterator[None]:
    """Opens files until the system refuses one."""
    taken: list[int] = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for fd in taken:
            os.close(fd)


def _kept(*sources: ShardSource) -> int:
    paths = {str(path) for source in sources for path in source.files}
    return sum(os.path.realpath(file) in paths for file in Path("/proc/self/fd").iterdir())


def test_sources_share_a_fourth_of_the_files_that_may_be_open(out: Path, limited: int) -> None:
    sources = [ShardSource(out) for _ in range(4)]
    for _ in range(2):
        assert [len(list(source)) for source in sources] == [SHARDS] * 4
    assert len(sources) <= _kept(*sources) <= files.most_open() + len(sources)
    assert files.most_open() == limited // 4


def test_a_source_gives_up_its_files_where_no_more_may_be_open(out: Path, limited: int) -> None:
    one, other = ShardSource(out), ShardSource(out)
    list(one)
    assert _kept(one) > 3
    with _nothing_free():
        assert len(list(other)) == SHARDS
        # Looking at the process's own files would take one more.
        assert 0 < sum(len(source._shards._open) for source in (one, other)) <= files.most_open()


def test_where_no_file_may_be_open_the_error_has_the_limit(out: Path, limited: int) -> None:
    source = ShardSource(out)
    with (
        _nothing_free(),
        pytest.raises(ShardsError, match=rf"Too many open files\. .*raise the limit of {limited} open files"),
    ):
        source[0]
    assert len(list(source)) == SHARDS


def test_the_limit_is_in_every_error_of_it() -> None:
    error = ExportFailed(f"x cannot be written: {os.strerror(24)}", "Mend that")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert str(error).endswith(f"Use fewer --workers, or raise the limit of {soft} open files (ulimit -n)")
    assert str(ExportFailed("x cannot be written: No space left", "Mend that")).endswith("left. Mend that")


def test_commands_do_with_few_open_files(out: Path, tmp_path: Path) -> None:
    few = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))"
    sources = ("--lpff", lpff(out.parent, SHARDS).lpff, "--alignment", "realign2400", "--image", "raw")
    done = tmp_path / "done"
    commands = [
        ("export", "--format", "tfrecord", *sources, "--shards", SHARDS, "--out", done, "--quiet"),
        ("verify", done, "--quiet"),
        ("index", done, "--quiet"),
        ("trace", "10000@N00", done),
    ]
    for command in commands:
        ran = run_after(few, *command)
        assert (ran.returncode, ran.stderr) == (0, "")
