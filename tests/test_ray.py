"""--engine ray: a cluster of two nodes makes what processes make, though workers and nodes of it are killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fault_injection
import pytest
from conftest import PROJECT
from dataset_factories import undecodable, write, write_lpff
from running import Done, call, children, contents, run_after, wait_for

from lpff_shards import ExportOptions, RunOptions, ShardOptions, ShardsError, SourceOptions, api
from lpff_shards.executors import ray
from lpff_shards.executors.processes import Progress
from lpff_shards.executors.ray import RayExecutor
from lpff_shards.exporters.callbacks import ProgressCallback

pytest.importorskip("ray", reason="ray is not installed here: pip install 'lpff-shards[ray]'")

TESTS = Path(__file__).parent
SAMPLES = 48
STATE = ".lpff-shards"
FORMATS = {**dict.fromkeys(("wds", "tfrecord", "parquet", "arrayrecord"), ("--shards", 8)), "zip": ()}


@dataclass(frozen=True)
class Nodes:
    """A cluster of this machine: a node that stays, and others that come and go."""

    cluster: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> Any:
        # Of another address than the first, so that a driver takes that one for its own.
        node = self.cluster.add_node(num_cpus=1, object_store_memory=80 << 20, node_ip_address="127.0.0.2")
        self.cluster.wait_for_nodes()
        return node

    def lose(self, node: Any) -> None:
        """Kills all processes of a node at once, as a power cut does."""
        raylet = node.all_processes["raylet"][0].process.pid
        for pid in (raylet, *children(raylet)):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Nodes import the package and what disturbs it; nothing else reaches a cluster from here.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(PROJECT)]))
        patch.delenv("RAY_ADDRESS", raising=False)
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "object_store_memory": 80 << 20,
                # A lost node is noticed in a second, not in ten.
                "_system_config": {
                    "health_check_initial_delay_ms": 0,
                    "health_check_period_ms": 300,
                    "health_check_failure_threshold": 3,
                },
            },
        )
        yield Nodes(cluster)
        cluster.shutdown()


@pytest.fixture(scope="module")
def lpff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ids = [f"{n}@N01_{500 + n}_01" for n in range(SAMPLES // 2)]
    return write_lpff(tmp_path_factory.mktemp("source") / "lpff", ids, ["eg3d"], size=16)


@dataclass
class Export:
    """The same export, by the engine of this machine and by a cluster."""

    lpff: Path
    out: Path
    capsys: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def words(self, format: str, out: Path, *more: object) -> tuple[object, ...]:
        return ("export", "--format", format, "--lpff", self.lpff, *FORMATS[format], "--out", out, *more)

    def run(self, format: str, out: Path, *more: object) -> Done:
        return call(self.capsys, self.patch, *self.words(format, out, *more))

    def local(self, format: str, *more: object) -> dict[str, bytes]:
        done = self.run(format, self.out.parent / "local", "--workers", 1, *more)
        assert done.status == 0, done.err
        return contents(self.out.parent / "local")

    def on(self, nodes: Nodes, format: str, *more: object) -> Done:
        return self.run(format, self.out, "--engine", "ray", "--ray-address", nodes.address, *more)

    def order(self, *words: str) -> None:
        """Has the cluster's workers disturbed."""
        self.patch.setattr(api, "write_shard_elsewhere", fault_injection.write_shard_elsewhere)
        self.beside(fault_injection.ORDER).write_text(" ".join(words))

    def beside(self, name: str) -> Path:
        return self.out.parent / name


@pytest.fixture
def export(lpff: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Export:
    (tmp_path / "ray").mkdir()
    return Export(lpff, tmp_path / "ray/out", capsys, monkeypatch)


def _quiet(done: Done) -> None:
    """Standard error has our lines alone: Ray's would begin otherwise."""
    assert all(re.match(r"lpff|  |lpff-shards: ", line) for line in done.err.splitlines()), done.err


@pytest.mark.parametrize("format", FORMATS)
def test_a_cluster_makes_what_this_machine_makes(nodes: Nodes, export: Export, format: str) -> None:
    expected = export.local(format)
    # Told from the folder above, as users tell paths; workers have folders of their own.
    export.patch.chdir(export.out.parent)
    export.lpff = Path(os.path.relpath(export.lpff))
    done = export.run(format, Path("out"), "--engine", "ray", "--ray-address", nodes.address)
    assert done.status == 0, done.err
    assert contents(export.out) == expected
    _quiet(done)


def test_an_update_and_shares_are_the_same_too(nodes: Nodes, export: Export) -> None:
    for number in (2, 1):
        assert export.on(nodes, "wds", "--task", f"{number}/2").status == 0
    expected = export.local("wds")
    assert contents(export.out) == expected
    gone = write(export.beside("gone.txt"), b"3@N01_503_01\n")
    assert export.on(nodes, "wds", "--exclude", gone, "--update").status == 0
    assert contents(export.out) == export.local("wds", "--exclude", gone, "--update") != expected


@pytest.mark.parametrize("format", ["wds", "tfrecord", "parquet", "arrayrecord"])
def test_a_node_is_lost_in_the_midst_of_a_shard(nodes: Nodes, export: Export, format: str) -> None:
    expected = export.local(format)
    node = nodes.add()
    export.order(fault_injection.STALL, node.node_id)

    def lose() -> None:
        wait_for(export.beside(fault_injection.STALLED).exists)
        nodes.lose(node)

    losing = threading.Thread(target=lose)
    losing.start()
    # A process of its own, as the import of Ray decides what Ray prints.
    driver = _start(export, format, "--ray-address", nodes.address, "--json")
    out, err = driver.communicate()
    done = Done(driver.returncode, out, err)
    losing.join()
    nodes.cluster.remove_node(node, allow_graceful=False)
    # Or the next to connect would take it for theirs.
    nodes.cluster.wait_for_nodes()
    assert done.status == 0, done.err
    assert contents(export.out) == expected
    attempts = export.beside(fault_injection.ATTEMPTS).read_text().split()
    assert len(attempts) > len(set(attempts)) == 8
    _quiet(done)
    # Ray would tell of the node on standard output.
    assert done.out.startswith("{")
    assert done.out.rstrip().endswith("}")


def test_a_worker_is_killed_and_no_sample_counts_twice(nodes: Nodes, export: Export) -> None:
    expected = export.local("wds")
    export.order(fault_injection.DIE)
    told: list[Progress] = []

    class Listener(ProgressCallback):
        def on_progress(self, progress: Progress) -> None:
            told.append(progress)

    options = ExportOptions(
        format="wds",
        out=str(export.out),
        sources=SourceOptions(lpff=str(export.lpff)),
        shards=ShardOptions(shards=8),
        run=RunOptions(engine="ray", ray_address=nodes.address),
    )
    manifest = api.export(options, Listener())
    assert export.beside(fault_injection.DIED).exists()
    assert contents(export.out) == expected
    assert sum(progress.samples for progress in told) == manifest.samples == SAMPLES
    assert sum(progress.bytes for progress in told) <= sum(shard.bytes for shard in manifest.shards)
    assert len(export.beside(fault_injection.ATTEMPTS).read_text().split()) == 9


def test_bad_input_is_told_as_ever_and_not_tried_again(nodes: Nodes, export: Export, tmp_path: Path) -> None:
    export.lpff = write_lpff(tmp_path / "bad", [f"{n}@N01_50{n}_01" for n in range(8)], ["eg3d"])
    write(export.lpff / "crop/eg3d/2@N01_502_01.png", undecodable())
    local = export.run("wds", tmp_path / "stopped", "--workers", 1, "--image", "png")
    export.order("nothing")
    done = export.on(nodes, "wds", "--image", "png")
    errors = [[line for line in one.err.splitlines() if line.startswith("lpff-shards: ")] for one in (local, done)]
    assert (local.status, done.status) == (2, 2)
    assert errors[0] == errors[1]
    assert len(errors[1]) == 1
    assert "2@N01_502_01" in errors[1][0]
    attempts = export.beside(fault_injection.ATTEMPTS).read_text().split()
    assert len(attempts) == len(set(attempts))
    assert not list((export.out / STATE / "partial").iterdir())
    _quiet(done)
    assert export.on(nodes, "wds", "--image", "png", "--on-error", "skip").status == 0
    assert contents(export.out) == export.local("wds", "--image", "png", "--on-error", "skip")


def _start(export: Export, format: str, *more: object) -> subprocess.Popen[str]:
    """The command in a process of its own, in a session of its own, disturbed as was ordered."""
    argv = ["lpff-shards", *map(str, export.words(format, export.out, "--engine", "ray", *more))]
    patch = "from lpff_shards import api\nimport fault_injection"
    patch += "\napi.write_shard_elsewhere = fault_injection.write_shard_elsewhere"
    script = f"import sys\nsys.path.append({str(TESTS)!r})\n{patch}\nsys.argv = {argv!r}\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", f"{script}from lpff_shards.cli import main\nmain()"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_killed_driver_leaves_shards_that_the_next_run_keeps(nodes: Nodes, export: Export) -> None:
    expected = export.local("wds")
    export.order(fault_injection.STALL)
    driver = _start(export, "wds", "--ray-address", nodes.address)
    wait_for(lambda: driver.poll() is not None or export.beside(fault_injection.STALLED).exists())
    driver.kill()
    driver.communicate()
    assert not (export.out / "manifest.json").exists()
    done = export.on(nodes, "wds")
    assert done.status == 0, done.err
    assert re.search(r"\d of them finished before", done.err)
    assert contents(export.out) == expected


def test_ctrl_c_ends_a_cluster_of_our_own_and_the_next_run_goes_on(export: Export) -> None:
    """Without an address one is started; what its workers import reaches them from here."""
    expected = export.local("wds")
    export.order(fault_injection.STALL)
    driver = _start(export, "wds", "--workers", 2)
    wait_for(lambda: driver.poll() is not None or export.beside(fault_injection.STALLED).exists())
    started = children(driver.pid)
    assert started
    # As a terminal does, which tells all processes in the foreground.
    os.killpg(driver.pid, signal.SIGINT)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1].startswith("lpff-shards: stopped. Finished shards are kept")
    assert "Traceback" not in err
    assert not list((export.out / STATE / "partial").iterdir())
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
    export.beside(fault_injection.ORDER).unlink()
    again = _start(export, "wds", "--workers", 2)
    assert "of them finished before" in again.communicate(timeout=60)[1]
    assert again.returncode == 0
    assert contents(export.out) == expected


class _Made(Sequence[bytes]):
    """Tasks that count how many of them were made."""

    def __init__(self, count: int) -> None:
        self.count, self.made = count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: Any) -> Any:
        self.made += 1
        # Larger than what Ray sends along with a task: it goes by its memory.
        return number.to_bytes(4, "big") * 50_000


@pytest.mark.parametrize("workers", [3, None])
def test_few_tasks_exist_at_once_however_many_there_are(nodes: Nodes, workers: int | None) -> None:
    tasks, most, seen = _Made(40), workers or 2, set()
    told: list[Progress] = []
    for number, done in RayExecutor(workers, nodes.address).run(fault_injection.doubled, tasks, told.append):
        assert done.result == number.to_bytes(4, "big") * 100_000
        seen.add(number)
        assert tasks.made - len(seen) <= most
    assert seen == set(range(40))
    assert sum(progress.samples for progress in told) == 40


def test_a_consumer_that_leaves_ends_what_is_in_flight(nodes: Nodes) -> None:
    tasks = _Made(40)
    results = RayExecutor(2, nodes.address).run(fault_injection.doubled, tasks, lambda _: None)
    next(results)
    results.close()
    assert tasks.made <= 3


def test_a_fault_of_ours_is_told_with_its_lines(nodes: Nodes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ShardsError, match="by a fault of lpff-shards: ZeroDivisionError"):
        list(RayExecutor(1, nodes.address).run(fault_injection.faulty, [b"x"], lambda _: None))
    assert "in faulty" in capsys.readouterr().err


def test_a_node_with_another_version_says_so(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "99.0")
    with pytest.raises(ShardsError, match=r"the node \S+ has lpff-shards \d\S+, but .* needs lpff-shards 99.0"):
        list(RayExecutor(1, nodes.address).run(fault_injection.doubled, [b"x"], lambda _: None))


def test_a_node_without_the_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ray.make_attempt(ray.__version__, "/", ())
    monkeypatch.setitem(sys.modules, "lpff_shards.executors.ray", None)
    told = attempt(b"")
    assert isinstance(told, str)
    assert "cannot import lpff-shards" in told


def _fails(address: str) -> str:
    with pytest.raises(ShardsError) as caught:
        list(RayExecutor(1, address).run(fault_injection.doubled, [b"x"], lambda _: None))
    return str(caught.value)


def test_an_address_at_which_nothing_listens_is_an_error_at_once() -> None:
    assert "no Ray cluster responds at 127.0.0.1:1: Connection refused" in _fails("127.0.0.1:1")
    assert "no Ray cluster responds at 127.0.0.1:99999: " in _fails("127.0.0.1:99999")
    assert "no Ray cluster responds at a..b:6379: " in _fails("a..b:6379")


@pytest.mark.parametrize("greets", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", None])
def test_another_server_is_an_error_in_time(greets: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that greets and closes each connection, or that accepts none."""
    monkeypatch.setattr(ray, "ANSWERS_WITHIN", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(greets or b"")

        if greets:
            threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert f"{address} is not the head node of a Ray cluster: no answer in 3 s" in _fails(address)
        server.shutdown(socket.SHUT_RDWR)


def test_a_cluster_of_another_version_is_an_error_with_both_versions(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray as library

    version = library.__version__
    monkeypatch.setattr(library, "__version__", "1.0")
    error = _fails(nodes.address)
    assert re.search(rf"cannot use .*: Version mismatch: .* Ray: {re.escape(version)} .* Ray: 1\.0 ", error), error


def test_ray_address_of_the_environment(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    done = RayExecutor(1, None).run(fault_injection.doubled, [b"x"], lambda _: None)
    assert [one.result for _, one in done] == [b"xx"]
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(ShardsError, match=r"RAY_ADDRESS ray://127\.0\.0\.1:10001 is for Ray's client"):
        list(RayExecutor(1, None).run(fault_injection.doubled, [b"x"], lambda _: None))


def test_a_connection_of_the_caller_s_is_used_and_kept(nodes: Nodes) -> None:
    import ray

    ray.init(nodes.address, log_to_driver=False)
    try:
        assert [
            done.result for _, done in RayExecutor(1, None).run(fault_injection.doubled, [b"x"], lambda _: None)
        ] == [b"xx"]
        assert ray.is_initialized()
        with pytest.raises(ShardsError, match="has no effect: this process is connected"):
            list(RayExecutor(1, nodes.address).run(fault_injection.doubled, [b"x"], lambda _: None))
    finally:
        ray.shutdown()


def test_workers_get_no_folder_that_this_process_does_not_import_from(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def paths() -> list[str]:
        return list(sys.path)

    for ours in (False, True):
        if ours:
            monkeypatch.syspath_prepend(str(tmp_path))
        with ray.connected(nodes.address, None) as added:
            import ray as library

            found = [*library.get(library.remote(paths).remote()), *added]
        assert Path.cwd() == tmp_path
        assert (str(tmp_path) in found) == ours


def test_sigterm_stays_as_it_was(nodes: Nodes) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with ray.connected(nodes.address, None):
            assert signal.getsignal(signal.SIGTERM) is stop
        assert signal.getsignal(signal.SIGTERM) is stop
        # Ray puts the default in its place behind Python's back.
        caught = re.search(r"SigCgt:\s*(\w+)", Path("/proc/self/status").read_text())
        assert caught is None or int(caught[1], 16) >> (signal.SIGTERM - 1) & 1
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_while_a_cluster_starts_ends_as_ever(export: Export) -> None:
    # With Ray's own handler in place, which ends the process with status 15.
    prelude = """
import os, signal, ray
start = ray.init
def init(*given, **named):
    start(*given, **named)
    os.kill(os.getpid(), signal.SIGTERM)
ray.init = init
"""
    done = run_after(prelude, *export.words("wds", export.out, "--engine", "ray", "--workers", 1))
    assert done.returncode == 130
    assert "stopped" in done.stderr
