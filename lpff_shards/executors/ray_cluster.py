"""Connecting to a Ray cluster, or starting one on this machine, quietly: standard output is the export's."""

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
from lpff_shards.options.rules import cluster_address

ADDRESS = "RAY_ADDRESS"
LOCAL = "local"
CONNECTS_WITHIN, ANSWERS_WITHIN = 10.0, 30.0
"""Seconds until something must listen at an address, and until it must have answered as a cluster does."""
_CONNECT = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"
# Print neither lost nodes (by a pattern that every line matches) nor a warning on graphics cards, which no shard needs.
_QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": "^", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Ray would leave a token in the home folder, for clusters that start later too. A process reads it once.
_TOKEN = {"RAY_AUTH_TOKEN": token_hex(32)}


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[tuple[str, ...]]:
    """Connect to a cluster; leave it at the end, and stop it where it was started here.

    Args:
        address: HOST:PORT or auto; None means the value of RAY_ADDRESS, else a cluster of this machine's own.
        workers: CPUs of that one; None means every core that this process may use.

    Yields:
        Where the cluster's workers find packages, beside their own folders.

    Raises:
        ShardsError: RAY_ADDRESS is no address, or this process is connected to a cluster already.
        ExportFailed: no cluster answers, or it takes no work from here.
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
    """Refuse an address at which no cluster answers. Ray itself tries for a quarter of an hour, and cannot be stopped.

    So another process tries first: 1 or 2 seconds for a cluster that is there.
    """
    hint = "Give the address that `ray start --head` printed, usually port 6379 (8265 is the dashboard's)"
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), CONNECTS_WITHIN).close()
        subprocess.run(
            python("-c", _CONNECT, address),
            # Ray adds the current folder to what workers import.
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
            f"no Ray cluster answers at {address}: {reason}", f"{hint}, or leave it out for a cluster of this machine"
        ) from None


def _connect(ray: Any, address: str, workers: int | None) -> None:
    """Connect this process.

    Raises:
        ExportFailed: it cannot.
    """
    given: dict[str, object] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == LOCAL:
        given |= {"num_cpus": workers or available_cores(), "include_dashboard": False}
    try:
        # Ray has workers import from the current folder, which may be a data set: at this moment it is the root.
        with _environment(_QUIET | (_TOKEN if address == LOCAL else {})), _own_sigterm(), chdir("/"):
            ray.init(address, **given)
    except Exception as error:
        what = "no Ray cluster can be started here" if address == LOCAL else f"the Ray cluster at {address} is no use"
        reason = textwrap.shorten(str(error), 300) or type(error).__name__
        raise ExportFailed(
            f"{what}: {reason.rstrip('.')}",
            "See that it runs (`ray status`), with the same versions of Ray and Python as here, and that this process "
            "has its token where it asks for one (RAY_AUTH_MODE=token)",
        ) from None


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set the variables that the user has not set, inside the block."""
    ours = wanted.keys() - os.environ.keys()
    os.environ.update({name: wanted[name] for name in ours})
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM: Ray sets its own when it starts, and the system's default when it ends."""
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
