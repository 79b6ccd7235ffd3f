"""Batches' memory is used again, and never while anybody looks at it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import lpff, write

from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.recycler import ALIGNMENT, MOST_FREE, Recycler

SHAPE = (4, 8, 8, 3)


def _place(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


VIEWS: dict[str, Callable[[np.ndarray], Any]] = {
    "itself": lambda array: array,
    "a slice": lambda array: array[1:2, ::2],
    "one picture": lambda array: array[3],
    "one number": lambda array: array[3, 7, 7, 2:],
    "turned": lambda array: np.moveaxis(array, -1, 1)[2:],
    "reshaped": lambda array: array.reshape(-1)[5:9],
    "other type": lambda array: array.view(np.int8)[..., :1],
    "memoryview": memoryview,
    "part of a memoryview": lambda array: memoryview(array.reshape(-1))[3:5],
    "from a buffer": lambda array: np.frombuffer(array, np.uint8)[1:],
    "read-only": lambda array: np.broadcast_to(array[:1], (9, *array.shape[1:])),
    "iterator": np.nditer,
}


@pytest.mark.parametrize("name", VIEWS)
def test_memory_is_kept_while_any_view_of_it_is(name: str) -> None:
    recycler = Recycler()
    array = recycler.take(SHAPE)
    array[:] = 7
    place, view = _place(array), VIEWS[name](array)
    del array
    others = [recycler.take(SHAPE) for _ in range(6)]
    for other in others:
        other[:] = 9
    assert place not in map(_place, others)
    if name != "iterator":
        assert set(np.asarray(view).astype(np.uint64).ravel().tolist()) <= {7}
    del others, view
    again = [recycler.take(SHAPE) for _ in range(MOST_FREE)]
    assert place in map(_place, again)


def test_memory_comes_back() -> None:
    recycler = Recycler()
    places = set()
    for number in range(50):
        array = recycler.take(SHAPE)
        array[:] = number
        places.add(_place(array))
    assert len(places) <= 2


def test_other_sizes_get_memory_of_their_own() -> None:
    recycler = Recycler()
    for shape in ((2, 3, 3, 3), SHAPE, (1, 1, 1, 3), SHAPE, (0, 4, 4, 3)):
        array = recycler.take(shape)
        assert (array.shape, array.dtype) == (shape, np.uint8)
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert _place(array) % ALIGNMENT == 0
        array[:] = 1


def test_little_is_kept_free() -> None:
    recycler = Recycler()
    held = [recycler.take(SHAPE) for _ in range(20)]
    assert len(set(map(_place, held))) == 20
    held.clear()
    assert len(recycler._free) == MOST_FREE


def test_a_pickled_recycler_has_memory_of_its_own() -> None:
    recycler = Recycler()
    recycler.take(SHAPE)[:] = 1
    other = pickle.loads(pickle.dumps(recycler))
    assert len(other._free) == 0
    assert other.take(SHAPE).shape == SHAPE


def test_threads_never_share_memory() -> None:
    recycler = Recycler()
    wrong: list[int] = []

    def work(number: int) -> None:
        held = []
        for turn in range(300):
            array = recycler.take((64,))
            array[:] = number
            held.append(array)
            if turn % 3 == 0:
                held = held[-2:]
            wrong.extend(number for kept in held if (kept != number).any())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("image", ["keep", "raw"])
def test_batches_that_are_held_stay_as_they_are(tmp_path: Path, image: str) -> None:
    source = ShardSource(write(tmp_path / "out", "wds", lpff(tmp_path, 12), 1, image=image))
    expected = np.stack([sample["image"] for sample in source])
    held = []
    for turn in range(24):
        numbers = [turn % 12, (turn + 5) % 12]
        held.append((numbers, source.batch(numbers)["image"][:, ::2, 1]))
        source.batch([11, 11])
        held = held[-7:]
        for kept, view in held:
            assert np.array_equal(view, expected[kept][:, ::2, 1])


def test_a_refused_batch_gives_its_memory_back(tmp_path: Path) -> None:
    source = ShardSource(write(tmp_path / "out", "wds", lpff(tmp_path, 3), 1, image="raw"))
    for _ in range(3):
        with pytest.raises(IndexError):
            source.batch([0, 1, 3])
    place = _place(source.batch([0, 1, 2])["image"])
    assert _place(source.batch([2, 1, 0])["image"]) == place
