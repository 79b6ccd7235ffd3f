"""JSON tables: ids that stand there twice, and what Python's json writes beyond JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.keys import nfc
from lpff_shards.sources.io import json_files
from lpff_shards.sources.io.blobs import path_blob
from lpff_shards.sources.io.json_files import as_json, join_points, read_table

TRICKY = st.sampled_from(['", "', '}, "a": {"', "NaN", "\\", '"', "[1, 2]}", "é", "\ud800", "\n"])
VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5) | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | TRICKY, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4) | TRICKY, VALUES, max_size=12)


def _read(folder: Path, data: bytes) -> tuple[dict[str, Any], set[str]]:
    path = folder / "table.json"
    path.write_bytes(data)
    table = read_table(path_blob(str(path)), "records")
    return {name: msgspec.json.decode(raw) for name, raw in table.rows.items()}, set(table.twice)


def _plain(value: Any) -> Any:
    """A value as it is read: numbers beyond JSON as null, lone surrogates as U+FFFD."""
    if isinstance(value, dict):
        return {_plain(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [*map(_plain, value)]
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans(), st.booleans())
def test_any_object(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any], indent: int | None, ascii: bool, marked: bool
) -> None:
    text = json.dumps(table, indent=indent, ensure_ascii=ascii)
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate is in JSON by its number only
        data = json.dumps(table, indent=indent).encode()
    found, _ = _read(tmp_path_factory.mktemp("json"), b"\xef\xbb\xbf" * marked + data)
    assert found == {nfc(name): value for name, value in _plain(table).items()}


def test_numbers_beyond_json_are_null_and_words_stay(tmp_path: Path) -> None:
    table = {f"{n}": {"score": math.nan, "low": -math.inf, "t": "NaN, -Infinity"} for n in range(200)}
    found, _ = _read(tmp_path, json.dumps(table).encode())
    assert found == {name: {"score": None, "low": None, "t": "NaN, -Infinity"} for name in table}


def test_a_lone_surrogate_does_not_keep_the_file_from_being_read(tmp_path: Path) -> None:
    table = {f"{n}": {"title": "\ud800", "smile": "\U0001f600"} for n in range(500)}
    found, _ = _read(tmp_path, json.dumps(table).encode())
    assert found == {name: {"title": "\ufffd", "smile": "\U0001f600"} for name in table}


@pytest.mark.parametrize("more", ["", ', "x": NaN'])
def test_names_that_stand_twice_are_told(tmp_path: Path, more: str) -> None:
    text = ", ".join(f'"{n % 150}": {n}' for n in range(200))
    found, twice = _read(tmp_path, f"{{{text}{more}}}".encode())
    assert (len(found.keys() - {"x"}), twice) == (150, {str(n) for n in range(50)})


@pytest.mark.parametrize(
    "data",
    [
        b'{,"a":1}',
        b'{ , "a": 1}',
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b'{"a": 1,\x0b"b": 2}',
        b"",
        b"null",
        b"[1, 2]",
        b'{"a": 1',
        b'{"a": 1} x',
        b'{"a": 1, "b"}',
        b'{"a": 1,, "b": 2}',
        b"[" * 9999,
        b'{"a": "' + b"x" * (20 << 20),
    ],
)
def test_what_is_no_object(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ShardsError, match=r"table\.json (is not valid JSON|does not contain records): "):
        _read(tmp_path, data)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 20)
    assert _read(tmp_path, b'{"a": 1}') == ({"a": 1}, set())
    with pytest.raises(ShardsError, match=r"table\.json has 21 bytes; at most 20 are read"):
        _read(tmp_path, b'{"a": "34567890123" }')


def test_mending_looks_at_each_byte_once() -> None:
    """A string without an end, after NaN, of quotes that are escaped: of 2 MB it takes no minutes."""
    data = b'{"a": NaN, "b": "' + b'\\" , ' * 500_000
    assert as_json(data) == data.replace(b"NaN", b"null")


def test_exact_landmarks_have_every_digit_of_the_file(tmp_path: Path) -> None:
    pairs = [[1234.5678 + x / 7, 2345.6789 + x / 3] for x in range(68)]
    path = tmp_path / "landmarks.json"
    path.write_text(json.dumps({"a": pairs}))
    table = read_table(path_blob(str(path)), "landmarks")
    exact, single = (join_points(table, ["a"], exact=exact).numbers[0] for exact in (True, False))
    assert exact.dtype == np.float64 and exact.tolist() == pairs
    assert single.dtype == np.float32 and np.array_equal(single, exact.astype(np.float32))
