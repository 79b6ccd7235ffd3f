"""Tasks on a Ray cluster: few at once, repeated if a node is lost. Progress is reported per shard.

Ray sends the code of functions defined inside a function, but only the names of a module's functions. So the function
that starts on a node is an inner one: it can report a node with another version of this package, or none.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, ClassVar

from lpff_shards._version import __version__
from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import (
    Done,
    OnProgress,
    Progress,
    Result,
    Task,
    Work,
    available_cores,
    do,
    failure,
    python,
    python_environment,
)
from lpff_shards.options.declaration import cluster_address

RETRIES = 5
"""How often Ray repeats a task whose worker or node was lost."""
END_SECONDS = 10.0
"""Time for canceled tasks to end before they are killed."""


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """A Ray cluster: the one at an address, else that of RAY_ADDRESS, else a new one on this machine.

    Attributes:
        workers: limit of shards at once, and CPUs of a new cluster; None means every CPU.
        address: HOST:PORT of the cluster, or auto for the running cluster of this machine.
    """

    workers: int | None
    address: str | None
    elsewhere: ClassVar[bool] = True

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Done[Result]], None, None]:
        """Run every task, see `LocalExecutor.run`."""
        with connected(self.address, self.workers) as paths:
            import ray

            # Relative paths are the same on every worker as here.
            attempt = make_attempt(__version__, os.getcwd(), tuple(paths))  # noqa: PTH109
            remote = ray.remote(num_cpus=1, max_retries=RETRIES)(attempt)
            numbers = iter(range(len(tasks)))
            running: dict[Any, int] = {}

            def fill() -> None:
                # Twice the current CPUs of the cluster, so that no CPU is idle and an autoscaler has a queue.
                most = self.workers or 2 * max(1, int(ray.cluster_resources().get("CPU", 0)))
                while len(running) < most and (number := next(numbers, None)) is not None:
                    packed = pickle.dumps((work, tasks[number]), pickle.HIGHEST_PROTOCOL)
                    running[remote.remote(packed)] = number

            try:
                fill()
                while running:
                    waiting = list(running)
                    ray.wait(waiting, num_returns=1)
                    done, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
                    while done:
                        result, progress = _fetch(ray, done[-1])
                        on_progress(progress)
                        number = running.pop(done.pop())
                        fill()
                        yield number, result
            finally:
                _stop(ray, list(running))


def _fetch(ray: Any, ref: Any) -> tuple[Done[Any], Progress]:
    try:
        done: Attempted = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise failure(error.cause, str(error)) from None
    except ray.exceptions.RayError as error:
        raise ExportFailed(
            f"Ray gave up a shard after {RETRIES + 1} tries ({type(error).__name__})",
            "Nodes may be short of memory: run the same command again, with fewer --workers if needed",
        ) from None
    if isinstance(done, str):
        hint = "Install it on every node, or give it to Ray (`ray job submit --runtime-env`)"
        raise ExportFailed(f"{done}, but this export needs lpff-shards {__version__}", hint)
    return done


def _stop(ray: Any, running: list[Any]) -> None:
    """Cancel the running tasks, so that no worker writes after the export."""
    # After a second Ctrl-C or a lost cluster Ray ends the remaining tasks when this process disconnects.
    with suppress(ray.exceptions.RayError):
        for seconds, force in ((0.0, False), (END_SECONDS, True)) if running else ():
            # Earlier versions of Ray aborted on cancel of a task that had just ended.
            for ref in ray.wait(running, num_returns=len(running), timeout=seconds)[1]:
                ray.cancel(ref, force=force)


Attempted = tuple[Done[Any], Progress] | str
"""The result of a task and all its progress; or why its node cannot run tasks."""


def make_attempt(version: str, folder: str, paths: tuple[str, ...]) -> Callable[[bytes], Attempted]:
    """Return the function that runs a task in the export's current folder on a node, which must have this version."""

    def attempt(packed: bytes) -> Attempted:
        import platform

        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            from lpff_shards._version import __version__

            if __version__ != version:
                return f"the node {platform.node()} has lpff-shards {__version__}"
            from lpff_shards.executors.ray import do_packed
        except ImportError as error:
            return f"the node {platform.node()} cannot import lpff-shards ({error})"
        return do_packed(packed, folder)

    return attempt


def do_packed(packed: bytes, folder: str) -> Attempted:
    """Run a pickled task with its work in this process."""
    work, task = pickle.loads(packed)
    # If the folder is missing, absolute paths still work, and the work reports relative ones.
    with suppress(OSError):
        os.chdir(folder)
    sizes: list[int] = []
    done = do(work, task, sizes.append)
    return done, Progress(len(sizes), sum(sizes))


ADDRESS = "RAY_ADDRESS"
LOCAL = "local"
CONNECTS_WITHIN, ANSWERS_WITHIN = 10.0, 30.0
"""Seconds until an address must accept connections, and until it must respond as a cluster."""
_CONNECT = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"
# Print neither lost nodes (the pattern matches every line) nor a warning about graphics cards, which are not needed.
_QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": "^", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Without it, Ray writes a token to the home folder, which later clusters use too. A process reads it once.
_TOKEN = {"RAY_AUTH_TOKEN": token_hex(32)}


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[tuple[str, ...]]:
    """Connect to a cluster as in `RayExecutor`; the end of the block disconnects, and stops a new cluster.

    Yields:
        Additional import paths for the cluster's workers.

    Raises:
        ShardsError: RAY_ADDRESS is not an address, or this process is already connected to a cluster.
        ExportFailed: no cluster responds, or it refuses the connection.
    """
    with _environment(_QUIET):
        import ray
    if ray.is_initialized():
        if address is not None:
            raise ShardsError(
                f"--ray-address {address} has no effect: this process is connected to a Ray cluster", "Leave it out"
            )
        yield ()
        return
    where = address or os.environ.get(ADDRESS) or LOCAL
    if where != LOCAL:
        _refuse_unanswered(cluster_address(ADDRESS, where))
    here = os.getcwd()  # noqa: PTH109
    try:
        _connect(ray, where, workers)
        yield tuple(sys.path if where == LOCAL else {here}.intersection(sys.path))
    finally:
        with _own_sigterm():
            ray.shutdown()


def _refuse_unanswered(address: str) -> None:
    """Refuse an address without a cluster, which Ray itself would try for a quarter of an hour, and cannot be stopped.

    So another process tries first; it takes 1 or 2 seconds if there is a cluster.
    """
    hint = "Give the address that `ray start --head` printed, usually port 6379 (8265 is the dashboard's)"
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), CONNECTS_WITHIN).close()
        subprocess.run(
            python("-c", _CONNECT, address),
            # Ray adds the current folder to the import paths of workers.
            cwd="/",
            env=python_environment(),
            capture_output=True,
            timeout=ANSWERS_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportFailed(
            f"{address} is not the head node of a Ray cluster: no answer in {ANSWERS_WITHIN:.0f} s", hint
        ) from None
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportFailed(
            f"no Ray cluster responds at {address}: {reason}", f"{hint}, or leave it out for a cluster on this machine"
        ) from None


def _connect(ray: Any, address: str, workers: int | None) -> None:
    given: dict[str, object] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == LOCAL:
        given |= {"num_cpus": workers or available_cores(), "include_dashboard": False}
    try:
        # Workers import from the current folder, which may be a data set: change to the root for the moment.
        with _environment(_QUIET | (_TOKEN if address == LOCAL else {})), _own_sigterm(), chdir("/"):
            ray.init(address, **given)
    except Exception as error:
        what = "cannot start a Ray cluster" if address == LOCAL else f"cannot use the Ray cluster at {address}"
        reason = textwrap.shorten(str(error), 300) or type(error).__name__
        raise ExportFailed(
            f"{what}: {reason.rstrip('.')}",
            "Check that it runs (`ray status`) with the same versions of Ray and Python as here, and that this process "
            "has its token if it requires one (RAY_AUTH_MODE=token)",
        ) from None


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set environment variables inside the block, unless the user has set them."""
    added = wanted.keys() - os.environ.keys()
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM: Ray sets its own on start, and the system's default on shutdown."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as stop:
        if stop.code == signal.SIGTERM and callable(handler):
            handler(signal.SIGTERM, None)
        raise
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
