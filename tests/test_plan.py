"""The plan: order, cuts, names, digest."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards import ExportOptions, PictureOptions, RunOptions, ShardOptions, ShardsError, SourceOptions, plan_export
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import DEFAULT_SHARD_SIZE
from lpff_shards.planning.build import cut, shuffled
from lpff_shards.planning.plan import Plan

KEYS = [f"lpff_{n}" for n in range(50)]


def _plan(demo: int = 6, **changes: object) -> Plan:
    options = ExportOptions(format="wds", out="out", sources=SourceOptions(demo=demo))
    return plan_export(replace(options, **changes))


@pytest.mark.parametrize(
    ("samples", "total", "shards", "expected"),
    [
        (10, 100, ShardOptions(samples_per_shard=4), [4, 4, 2]),
        (8, 100, ShardOptions(samples_per_shard=4), [4, 4]),
        (3, 100, ShardOptions(samples_per_shard=4), [3]),
        (10, 100, ShardOptions(shards=4), [2, 3, 2, 3]),
        (10, 100, ShardOptions(shards=1), [10]),
        (10, 100, ShardOptions(shards=10), [1] * 10),
        (10, 100, ShardOptions(shard_size=25), [2, 3, 2, 3]),
        (10, 100, ShardOptions(shard_size=100), [10]),
        (10, 101, ShardOptions(shard_size=100), [5, 5]),
        (3, 100, ShardOptions(shard_size=1), [1, 1, 1]),
        (10, DEFAULT_SHARD_SIZE + 1, ShardOptions(), [5, 5]),
        (80, 300, ShardOptions(shard_size=100), [20] * 4),
        (80, 500, ShardOptions(shard_size=100), [10] * 8),
        (80, 1700, ShardOptions(shard_size=100), [3, 3, 4] * 8),
        (7, 500, ShardOptions(shard_size=100), [1] * 7),
    ],
)
def test_cut(samples: int, total: int, shards: ShardOptions, expected: list[int]) -> None:
    assert np.diff(cut(samples, total, shards)).tolist() == expected


@given(
    samples=st.integers(1, 10**6),
    total=st.integers(1, 10**12),
    size=st.integers(10**4, 10**9),
)
def test_cut_by_size_is_even_and_whole(samples: int, total: int, size: int) -> None:
    bounds = cut(samples, total, ShardOptions(shard_size=size))
    counts = np.diff(bounds)
    assert (bounds[0], bounds[-1]) == (0, samples)
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 1
    needed = -(-total // size)
    assert len(counts) >= min(samples, needed)
    assert len(counts) == samples or (len(counts) < needed + 8 and len(counts) in (1, 2, 4, 8 * (len(counts) // 8)))


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (256, "--shard-size 256 is less than a sample, which takes about .* KB. Did you mean 256MB"),
        (1024, "--shard-size 1024 is less .* Did you mean 1024MB"),
        (1000, "--shard-size 1KB is less than a sample, which takes about .* KB. Give a larger size"),
    ],
)
def test_a_shard_holds_a_sample(size: int, words: str) -> None:
    with pytest.raises(ShardsError, match=words):
        _plan(shards=ShardOptions(shard_size=size))


def test_the_smallest_shard_holds_the_average_sample() -> None:
    sizes = _plan().sizes
    least = -(-int(sizes.sum()) // len(sizes))
    assert len(_plan(shards=ShardOptions(shard_size=least))) == len(sizes)
    with pytest.raises(ShardsError, match="is less than a sample"):
        _plan(shards=ShardOptions(shard_size=least - 1))
    # Without the option large pictures have a shard each.
    assert len(cut(3, 4 * DEFAULT_SHARD_SIZE, ShardOptions())) == 4


def test_more_shards_than_samples() -> None:
    with pytest.raises(ShardsError, match="--shards 11 is more than the 10 samples"):
        cut(10, 100, ShardOptions(shards=11))


def test_file_names() -> None:
    assert get_format("wds").filename("ffhq_lpff-train", 7, 12) == "ffhq_lpff-train-000007.tar"
    assert get_format("tfrecord").filename("ffhq_lpff-train", 7, 12) == "ffhq_lpff-train.tfrecord-00007-of-00012"
    assert get_format("zip").filename("ffhq_lpff-train", 7, 12) == "ffhq_lpff-train.zip-000007.part"


@settings(max_examples=30)
@given(st.permutations(KEYS), st.integers(0, 2**63 - 1))
def test_the_shuffle_does_not_depend_on_the_order_it_gets(keys: list[str], seed: int) -> None:
    assert [keys[i] for i in shuffled(keys, seed)] == [KEYS[i] for i in shuffled(KEYS, seed)]


def test_the_shuffle_is_a_permutation_that_follows_its_seed() -> None:
    first, again, other = (shuffled(KEYS, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(first) == list(range(50)) != first


def test_the_shuffle_never_changes() -> None:
    assert shuffled(["a", "b", "c", "d", "e"], 0).tolist() == [3, 0, 4, 1, 2]


def test_more_pictures_keep_the_others_in_order() -> None:
    few, many = ([keys[i] for i in shuffled(keys, 3)] for keys in (KEYS[:30], KEYS))
    assert [key for key in many if key in set(few)] == few


def test_source_order_without_shuffle() -> None:
    plan = _plan(shards=ShardOptions(shuffle=False))
    (inventory,) = plan.inventories
    keys = [f"demo_{id.replace('@', '-')}" for id in inventory.ids]
    assert plan.keys == [name for key in keys for name in (key, f"{key}_m")]


def test_every_entry_is_in_one_task() -> None:
    plan = _plan(shards=ShardOptions(samples_per_shard=5))
    tasks = list(plan.tasks())
    assert [entry.key for task in tasks for entry in task.entries] == plan.keys
    assert [task.filename for task in tasks] == [f"demo-train-{n:06d}.tar" for n in range(3)]
    assert len(pickle.dumps(tasks[0])) < 20_000


BASE = {"sources": SourceOptions(demo=6)}


@pytest.mark.parametrize(
    "changed",
    [
        {"sources": SourceOptions(demo=7)},
        {"sources": SourceOptions(demo=6, mirror=False)},
        {"sources": SourceOptions(demo=6, alignment="stylegan", mirror=True)},
        {"format": "tfrecord"},
        {"metadata": "msgpack"},
        {"name": "other"},
        {"picture": PictureOptions(image="png")},
        {"picture": PictureOptions(resolution=64)},
        {"picture": PictureOptions(image="jpeg", quality=50)},
        {"shards": ShardOptions(shards=2)},
        {"shards": ShardOptions(seed=1)},
        {"shards": ShardOptions(shuffle=False)},
        {"run": RunOptions(checksum="sha256")},
    ],
)
def test_the_digest_tells_what_decides_bytes(changed: dict[str, object]) -> None:
    assert _plan(**changed).digest != _plan().digest


@pytest.mark.parametrize(
    "changed",
    [
        {"out": "elsewhere"},
        {"run": RunOptions(workers=3)},
        {"run": RunOptions(overwrite=True)},
        {"run": RunOptions(on_error="skip")},
        {"shards": ShardOptions(seed=0)},
        {"shards": ShardOptions(shard_size=DEFAULT_SHARD_SIZE)},
        {"name": "demo"},
        {"sources": SourceOptions(demo=6, mirror=True)},
    ],
)
def test_the_digest_ignores_what_does_not(changed: dict[str, object]) -> None:
    assert _plan(**changed).digest == _plan().digest


def test_sizes_are_near_the_truth(tmp_path: object) -> None:
    from lpff_shards import export

    for format, image in (("wds", "raw"), ("tfrecord", "raw"), ("zip", "stored-png")):
        options = ExportOptions(
            format=format,
            out=f"{tmp_path}/{format}",
            sources=SourceOptions(demo=3),
            picture=PictureOptions(image=image, resolution=128),
        )
        planned = int(plan_export(options).sizes.sum())
        written = sum(shard.bytes for shard in export(options).shards)
        assert planned == pytest.approx(written, rel=0.03)
