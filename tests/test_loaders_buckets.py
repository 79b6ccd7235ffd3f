"""ShardSource over buckets: what it finds, its requests, how many of them at once, and what it tells of failures."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import NAMES, assert_batch, assert_sample, held_while, lpff, sent, truths, write
from servers.fault import Fault
from stores import Bucket

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import index_names
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.files import Span
from lpff_shards.loaders.object_reader import AT_ONCE, BLOCKS_AHEAD, coalesce_ranges, in_order
from lpff_shards.schemas.filenames import SAMPLE_INDEX
from lpff_shards.storage import bucket as bucket_paths
from lpff_shards.storage import connect

FORMATS = ("wds", "tfrecord")
SAMPLES = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of each format in three shards, raw pictures and picture files."""
    root = tmp_path_factory.mktemp("exports")
    sources = lpff(root, SAMPLES)
    return {
        **{format: write(root / format, format, sources, 3, image="raw") for format in FORMATS},
        "png": write(root / "png", "wds", sources, 3),
    }


@pytest.fixture
def uri(folders: dict[str, Path], bucket: Bucket) -> str:
    """Raw pictures in tars, in either store."""
    return sent(folders["wds"], bucket)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are asked eight times within a moment, not for minutes."""
    backoff = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    retries = {"max_retries": 7, "retry_timeout": timedelta(seconds=20), "backoff": backoff}
    monkeypatch.setattr(connect, "_retries", lambda patient: retries)
    monkeypatch.setattr(bucket_paths, "FIRST_WAIT", 0.001)


def _gets(bucket: Bucket, work: Callable[[], Any]) -> int:
    """Requests that some work makes; all of them are GETs."""
    bucket.break_with()
    work()
    methods = bucket.counts().methods
    assert set(methods) <= {"GET"}
    return methods.get("GET", 0)


@pytest.mark.parametrize("kind", ["wds", "tfrecord", "png"])
def test_it_finds_what_the_folder_holds(folders: dict[str, Path], bucket: Bucket, kind: str) -> None:
    source, expected = ShardSource(sent(folders[kind], bucket)), truths(folders[kind])
    assert len(source) == len(expected) == SAMPLES
    numbers = [SAMPLES - 1, 0, 7, 0, 8, 9]
    assert_batch(source.batch(numbers, NAMES), expected, numbers)
    for found, truth in zip(source, expected, strict=True):
        assert_sample(found, truth)
    for found, number in zip(source.__getitems__(numbers), numbers, strict=True):
        assert_sample(found, expected[number])
    assert_sample(source[-1], expected[-1])
    assert list(source.column("key")) == [truth.fields["key"] for truth in expected]


def test_a_request_a_sample_and_one_for_neighbors(uri: str, bucket: Bucket) -> None:
    source = ShardSource(uri)
    per_shard = [shard.samples for shard in source.shards]
    apart = [sum(per_shard[:n]) for n in range(3)] + [2, per_shard[0] + 2, 4]
    assert _gets(bucket, lambda: source[5]) == 1
    assert _gets(bucket, lambda: source.batch(apart)) == len(apart)
    assert _gets(bucket, lambda: source.batch([4, 4, 4])) == 1
    assert _gets(bucket, lambda: source.batch([3, 2, 5, 4])) == 1
    assert _gets(bucket, lambda: list(source)) == len(source.shards)


def test_opening_asks_for_each_index_once_and_for_no_shard(uri: str, bucket: Bucket) -> None:
    # The manifest, a listing, and an index file a shard.
    assert _gets(bucket, lambda: ShardSource(uri)) == 2 + 3


def test_a_bucket_that_may_not_be_listed_is_read(folders: dict[str, Path], uri: str, bucket: Bucket) -> None:
    bucket.break_with(Fault("error", path=r"[?&](prefix|list-type)=", status=403, code="AccessDenied"))
    source = ShardSource(uri)
    assert bucket.counts().hit == [1]
    assert_batch(source.batch([3, 11], NAMES), truths(folders["wds"]), [3, 11])


def test_a_shard_that_changes_is_refused_where_it_may_not_be_listed(uri: str, bucket: Bucket) -> None:
    bucket.break_with(Fault("error", path=r"[?&](prefix|list-type)=", status=403, code="AccessDenied"))
    source = ShardSource(uri)
    name = f"sets/out/{source.shards[0].file}"
    bucket.put(name, bucket.read(name)[:-1] + b"x")
    with pytest.raises(ShardsError, match="has changed since it was opened"):
        source[0]


def test_all_of_a_batch_is_asked_for_at_once(uri: str, bucket: Bucket) -> None:
    source = ShardSource(uri)
    apart = list(range(0, SAMPLES, 2))
    expected = source.batch(apart)
    assert len(apart) <= AT_ONCE
    assert np.array_equal(held_while(bucket, lambda: source.batch(apart), len(apart))["image"], expected["image"])


def test_reading_in_turn_reads_ahead(
    folders: dict[str, Path], uri: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sample a block.
    monkeypatch.setattr(in_order, "__defaults__", (1,))
    source = ShardSource(uri)
    found = held_while(bucket, lambda: list(source), BLOCKS_AHEAD)
    assert bucket.counts().held == 0
    for sample, truth in zip(found, truths(folders["wds"]), strict=True):
        assert_sample(sample, truth)


def test_a_copy_in_another_process_reads_on(uri: str) -> None:
    source = ShardSource(uri)
    expected = source.batch([2, 0, 9])["image"]
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.batch([2, 0, 9])["image"], expected)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(_batch, (source, [2, 0, 9])), expected)


def _batch(source: ShardSource, numbers: list[int]) -> Any:
    return source.batch(numbers)["image"]


@pytest.mark.parametrize("numbers", [[1], [1, 9, 17]])
def test_a_forked_process_is_told_so(uri: str, numbers: list[int]) -> None:
    source = ShardSource(uri)
    source.batch(range(0, SAMPLES, 2))
    with (
        multiprocessing.get_context("fork").Pool(1) as pool,
        pytest.raises(ShardsError, match=r"forked .*multiprocessing_context=\"spawn\""),
    ):
        pool.apply_async(_batch, (source, numbers)).get(20)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error", method="GET", every=3),
        Fault("error", method="GET", status=500, code="InternalError", every=3),
        Fault("reset", method="GET", every=4),
        Fault("reset-answer", method="GET", every=4),
        Fault("short-answer", method="GET", every=4),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_what_fails_once_is_asked_for_again(
    folders: dict[str, Path], uri: str, bucket: Bucket, impatient: None, fault: Fault
) -> None:
    source, numbers = ShardSource(uri), list(range(0, SAMPLES, 2))
    bucket.break_with(fault)
    assert_batch(source.batch(numbers, NAMES), truths(folders["wds"]), numbers)
    assert bucket.counts().hit[0] > 0


@pytest.mark.parametrize("kind", ["error", "reset", "reset-answer", "short-answer"])
def test_a_store_that_is_down_is_told_once(uri: str, bucket: Bucket, impatient: None, kind: Any) -> None:
    source = ShardSource(uri)
    bucket.break_with(Fault(kind, method="GET", path=r"\.tar"))
    with pytest.raises(ShardsError, match=rf"^{uri}/lpff-train-000000\.tar cannot be read: .*\. Check the bucket"):
        source.batch([0, 2])
    bucket.break_with()
    assert source.batch([0, 2])["index"].tolist() == [0, 2]


def test_a_shard_that_is_gone_or_another_is_refused(uri: str, bucket: Bucket) -> None:
    source = ShardSource(uri)
    name = f"sets/out/{source.shards[0].file}"
    data = bucket.read(name)
    for body, told in ((data[:-1] + b"x", "has changed since"), (b"short", "has changed since")):
        bucket.put(name, body)
        with pytest.raises(ShardsError, match=rf"{source.shards[0].file} ({told})"):
            source.batch([0, 2, 20])
    with pytest.raises(ShardsError, match=r"does not match its manifest"):
        ShardSource(uri)
    bucket.remove(name)
    with pytest.raises(ShardsError, match=r"was removed after"):
        source[0]
    with pytest.raises(ShardsError, match=r"is missing"):
        ShardSource(uri)


def test_an_index_that_is_gone_or_torn_is_told(uri: str, bucket: Bucket) -> None:
    name = f"sets/out/{index_names(ShardSource(uri).shards[1].file)[-1]}"
    bucket.put(name, b"torn")
    with pytest.raises(ShardsError, match=r"lpff-shards index repairs"):
        ShardSource(uri)
    bucket.remove(name)
    with pytest.raises(ShardsError, match=rf"{name} is missing\. Write it: lpff-shards index {uri}"):
        ShardSource(uri)


def test_columns_of_an_export_without_its_sample_index(folders: dict[str, Path], uri: str, bucket: Bucket) -> None:
    source = ShardSource(uri)
    bucket.remove(f"sets/out/{SAMPLE_INDEX}")
    assert list(source.column("key")) == [truth.fields["key"] for truth in truths(folders["wds"])]


def test_neighbors_make_blocks() -> None:
    spans = [Span(0, 0, 4), Span(0, 4, 9), Span(0, 9, 12), Span(1, 0, 5), Span(1, 8, 9), Span(1, 9, 30)]
    assert list(in_order(spans, 9)) == [
        (Span(0, 0, 9), 2),
        (Span(0, 9, 12), 1),
        (Span(1, 0, 5), 1),
        (Span(1, 8, 9), 1),
        (Span(1, 9, 30), 1),
    ]
    assert list(in_order([])) == []
    mixed = [spans[n] for n in (4, 1, 0, 1, 5)]
    assert coalesce_ranges(mixed, 100) == [(Span(1, 8, 30), (0, 4)), (Span(0, 0, 9), (2, 1, 3))]
    assert coalesce_ranges([Span(0, 0, 50)] * 2, 9) == [(Span(0, 0, 50), (0, 1))]
