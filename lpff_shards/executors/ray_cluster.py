"""Connecting to a Ray cluster, or starting one on this machine, quietly: standard output is the export's."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from secrets import token_hex
from typing import Any

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.options.rules import cluster_address

ADDRESS = "RAY_ADDRESS"
LOCAL = "local"
ANSWERS_WITHIN = 10.0
"""Seconds."""
_FRAME_HEAD, _SETTINGS = 9, 4
# A client's preface, and its own settings, of which there are none.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
# Spares a warning on graphics cards, of which no shard uses any.
_QUIET = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        ray: the library.
        paths: where its workers find Python's packages, beside their own; for workers of this machine alone.
    """

    ray: Any
    paths: tuple[str, ...]


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[Cluster]:
    """A cluster to send tasks to, left at the end, and shut down where it was started here.

    Args:
        address: HOST:PORT or auto; None means what RAY_ADDRESS says, else a cluster of this machine's own.
        workers: CPUs of that one; None means every core that this process may use.

    Raises:
        ShardsError: RAY_ADDRESS is none, or this process is connected to a cluster of its caller's already.
        ExportFailed: no cluster answers, or it takes no work from here.
    """
    import ray

    if ray.is_initialized():
        if address is not None:
            raise ShardsError(
                f"--ray-address {address} has no effect: this process is connected to a Ray cluster", "Leave it out"
            )
        yield Cluster(ray, ())
        return
    where = address or _from_environment() or LOCAL
    environment, given = dict(_QUIET), dict[str, object]()
    if where == LOCAL:
        given |= {"num_cpus": workers or available_cores(), "include_dashboard": False}
        # A token of its own: the one that Ray would leave in the home folder changes clusters that are started later.
        environment["RAY_AUTH_TOKEN"] = _token()
    else:
        _check_answers(where)
    # What a lost node is told by may come late, while the cluster is left, or be of one that was lost before.
    with _nothing_printed():
        try:
            with _environment(environment), _own_sigterm():
                _connect(ray, where, given)
            yield Cluster(ray, tuple(sys.path) if where == LOCAL else ())
        finally:
            with _own_sigterm():
                ray.shutdown()


@cache
def _token() -> str:
    """What this machine's own clusters are asked for; Ray reads it once a process."""
    return token_hex(32)


def _from_environment() -> str | None:
    """The address in RAY_ADDRESS, where it holds one."""
    given = os.environ.get(ADDRESS)
    if not given:
        return None
    if given != LOCAL:
        cluster_address(ADDRESS, given)
    return given


def _check_answers(address: str) -> None:
    """Asks whether anything listens there: Ray itself takes minutes to find that nothing does."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN) as connection:
            speaks = os.environ.get("RAY_USE_TLS", "0") not in ("0", "") or _speaks_grpc(connection)
    except OSError as error:
        raise ExportFailed(
            f"no Ray cluster answers at {address}: {error.strerror or error}",
            "Give the address that `ray start --head` printed, or leave it out for a cluster of this machine",
        ) from None
    if not speaks:
        raise ExportFailed(
            f"{address} is not the head node of a Ray cluster",
            "Give the address that `ray start --head` printed, usually port 6379; 8265 is the dashboard's",
        )


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server greets as HTTP/2 demands, on which gRPC runs: by a frame of settings (RFC 9113, 3.4 and 4.1)."""
    connection.sendall(_HELLO)
    head = b""
    while len(head) < _FRAME_HEAD and (more := connection.recv(_FRAME_HEAD - len(head))):
        head += more
    return len(head) == _FRAME_HEAD and head[3] == _SETTINGS


def _connect(ray: Any, address: str, given: dict[str, object]) -> None:
    try:
        quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        ray.init(address=address, job_config=_job(ray), **quiet, **given)
    except Exception as error:
        what = "no Ray cluster can be started here" if address == LOCAL else f"the Ray cluster at {address} is no use"
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ExportFailed(
            f"{what}: {reason.rstrip('.')}",
            "See that it runs (`ray status`), with the same versions of Ray and Python as here, and that this process "
            "has its token where it asks for one (RAY_AUTH_MODE=token)",
        ) from None


class _Paths(list[str]):
    """Where Ray's workers look for modules first: of what Ray adds, what this process itself has on its sys.path."""

    def extend(self, paths: Iterable[str]) -> None:
        super().extend(path for path in paths if path in sys.path)


def _job(ray: Any) -> Any:
    """What Ray is told of this job; by itself it has workers import from the current folder, a data set's say."""
    job = ray.job_config.JobConfig()
    job._py_driver_sys_path = _Paths()
    return job


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Sets variables that the user has not set, for as long as Ray starts."""
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps SIGTERM as it was: Ray puts an exit in its place when it starts, and the system's default when it ends."""
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


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keeps Ray from printing what befalls nodes to standard output, for which it has no switch of its own."""
    from ray._private import worker

    name = "_worker_logs_enabled"
    before = getattr(worker, name, None)
    if before is None:
        yield
        return
    setattr(worker, name, False)
    try:
        yield
    finally:
        setattr(worker, name, before)
