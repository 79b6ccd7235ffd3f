"""Options of loaders are declared once: signature, documentation and checks of a loader are those of its options."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
from loading import check_documented

from lpff_shards import ShardsError
from lpff_shards.loaders.options import LoaderOptions, WorkerOptions, takes


@takes(WorkerOptions)
def _loader(options: WorkerOptions) -> WorkerOptions:
    """Return the options.

    Raises:
        ShardsError: an option is out of range.
    """
    return options


def test_a_loader_has_the_parameters_of_its_options() -> None:
    check_documented(_loader, WorkerOptions)
    names = [field.name for field in fields(LoaderOptions)]
    assert names[:2] == ["path", "batch_size"]
    assert list(inspect.signature(_loader).parameters) == [*names, "workers", "threads", "prefetch"]


def test_options_reach_the_loader() -> None:
    options = _loader("shards", 4, seed=3, threads=2)
    assert (options.path, options.batch_size, options.seed, options.threads, options.shuffle) == (
        "shards",
        4,
        3,
        2,
        True,
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'suffle'"):
        _loader("shards", 4, suffle=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'batch_size'"):
        _loader("shards")  # type: ignore[call-arg]
    with pytest.raises(ShardsError, match=r"epoch -1 is out of range\. It is a whole number from 0"):
        _loader("shards", 4, epoch=-1)
