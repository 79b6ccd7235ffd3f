"""Connect to a Ray cluster, or start one on this machine, without output: stdout belongs to the export."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from secrets import token_hex
from typing import Any

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import available_cores, python, python_environment
from lpff_shards.options.declaration import cluster_address

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
    """Connect to a cluster; disconnect at the end of the block, and stop the cluster if it was started here.

    Args:
        address: HOST:PORT or auto; None means the value of RAY_ADDRESS, else a new cluster on this machine.
        workers: CPUs of the new cluster; None means every core that this process may use.

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
    """Refuse an address without a cluster. Ray itself would try for a quarter of an hour, and cannot be stopped.

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
    """Connect this process.

    Raises:
        ExportFailed: the connection or the start failed.
    """
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
