"""Threads end though a signal comes at the moment at which one has just been started, and nobody waits in vain."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from running import wait_for

import lpff_shards
from lpff_shards.loaders.files import Span
from lpff_shards.loaders.object_reader import ShardRanges
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.storage.bucket import BucketPath, interruptible
from lpff_shards.storage.local import BackgroundSync, LocalFolder
from lpff_shards.storage.prefetch import Threads, prefetch


def _ahead(_: Path) -> None:
    list(prefetch(str, range(9), 4))


def _threads(_: Path) -> None:
    with Threads(3) as threads:
        for number in range(5):
            threads.submit(str, number)


def _background_sync(folder: Path) -> None:
    with BackgroundSync() as disk:
        for _ in range(3):
            disk.submit(folder)


def _growing(folder: Path) -> None:
    with LocalFolder(folder).atomic_file("final", 0) as file:
        for _ in range(3):
            file.write([bytes(1 << 25)])
        file.finish()


def _sync(folder: Path) -> None:
    OutputFolder(folder).sync([f"{number}.tar" for number in range(9)])


def _ranges(_: Path) -> None:
    ranges = ShardRanges([BucketPath("s3", "bucket", "a.tar")], [""])
    ranges._fetched = str  # type: ignore[assignment, method-assign]
    list(ranges.read_batch(Span(0, at << 23, (at << 23) + 1) for at in range(5)))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "use", [_ahead, _threads, _background_sync, _growing, _sync, _ranges], ids=lambda use: use.__name__
)
def test_a_signal_behind_the_start_of_a_thread_leaves_nothing_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], None], number: int
) -> None:
    real, started, ended = threading.Thread.start, [], []

    def start(thread: threading.Thread) -> None:
        real(thread)
        started.append(thread)
        if len(started) == number:
            raise KeyboardInterrupt

    def run() -> None:
        try:
            use(tmp_path)
        except KeyboardInterrupt:
            ended.append("interrupted")
        except FileNotFoundError:
            ended.append("done")  # of the files that `_sync` names
        else:
            ended.append("done")

    main = threading.Thread(target=run, daemon=True)
    real(main)
    monkeypatch.setattr(threading.Thread, "start", start)
    main.join(20)
    assert ended == (["interrupted"] if len(started) >= number else ["done"])
    wait_for(lambda: not any(thread.is_alive() for thread in started))
    assert all(thread.daemon for thread in started)
    assert not list(tmp_path.rglob("final.*"))


def test_a_signal_behind_the_start_of_a_call_that_is_waited_for_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        real(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: 1)


def test_threads_of_a_pool_that_nobody_has_any_more_end() -> None:
    before = set(threading.enumerate())
    threads = Threads(2)
    assert [threads.submit(str, number).result() for number in range(2)] == ["0", "1"]
    of_it = set(threading.enumerate()) - before
    assert of_it
    del threads
    wait_for(lambda: not any(thread.is_alive() for thread in of_it))


def test_no_thread_is_of_another_kind() -> None:
    """The standard library's pools note a thread behind its start, and the process waits for them at its end."""
    package = Path(lpff_shards.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"ThreadPoolExecutor|\bThread\b", path.read_text())
    }
    assert users == {"storage/prefetch.py"}


LEFT = """
import sys, time
from lpff_shards.storage.prefetch import Threads, prefetch

def slow(number):
    time.sleep(0.3)
    print("done", number, flush=True)

left = prefetch(slow, range(9), 2)
kept = Threads(1)
kept.submit(print, "kept")
if sys.argv[1] == "closed":
    next(left)
    left.close()
else:
    kept.submit(slow, 7)
    time.sleep(0.1)
"""


@pytest.mark.parametrize(("how", "last"), [("closed", "done 2"), ("kept", "done 7")])
def test_the_end_of_a_process_waits_for_running_calls(how: str, last: str) -> None:
    """Python ends its threads inside C++ code, such as a decoder's, which aborts the process."""
    done = subprocess.run([sys.executable, "-c", LEFT, how], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert last in done.stdout.splitlines()
