"""Fixtures that several test files share."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import portraits
import pytest
from running import DATA
from stores import bucket, gcs, gcs_servers, s3, s3_servers

import lpff_shards.loaders.worker_defaults  # noqa: F401  (keeps the number of cores as it is)
from lpff_shards import api, executors
from lpff_shards.executors import processes
from lpff_shards.exporters import attach

__all__ = ["DATA", "bucket", "gcs", "gcs_servers", "s3", "s3_servers"]

# The environments of other readers do without.
with contextlib.suppress(ModuleNotFoundError):
    from hypothesis import settings

    # How long an example takes tells of the machine and of what else runs on it.
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")

PROJECT = Path(__file__).resolve().parent.parent
LONGEST = (
    *("buckets", "cropping", "crops", "pages", "hostile_folders", "faults", "killed", "report_page", "shares"),
    *("sources_buckets", "attach", "examples", "lifecycle", "verify", "report", "colors", "picture_meaning"),
    *("density", "sample_index", "loaders_buckets", "mix", "manners", "zip", "shard_source", "update", "splits"),
)
"""Test files that take more than five seconds of CPU, the longest first."""


def pytest_configure(config: pytest.Config) -> None:
    """Start the longest files first, so that no core waits at the end; pytest-xdist would count their tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files in this order; tests of a file stay in theirs."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """Tests and libraries stay to the end: looking through them for garbage took a tenth of the time."""
    # Behind the freeze hypothesis, from Python 3.14 on, may not find who keeps its random numbers, and warns.
    with contextlib.suppress(ModuleNotFoundError):
        from hypothesis import given
        from hypothesis import strategies as st

        given(st.none())(lambda _: None)()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C, and what it starts inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _portraits() -> None:
    portraits.keep()


@pytest.fixture(scope="session", autouse=True)
def _one_worker() -> Iterator[None]:
    """Exports in this process start no workers unless a test says how many.

    This process has threads, so that workers would be fresh Pythons: a second of CPU for each export. Commands in
    processes of their own fork as many as there are cores.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (api, attach, executors, processes):
            patch.setattr(module, "available_cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real samples of the data sets; they are not part of the project."""
    if not DATA.is_dir():
        pytest.skip(f"no real samples at {DATA} (set LPFF_SHARDS_DATA)")
    return DATA


@pytest.fixture(scope="session")
def tf() -> ModuleType:
    """TensorFlow, silenced."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow")
