"""A JSON object read in parts has the members that it has as a whole."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpff_shards.sources.io import json_files
from lpff_shards.sources.io.json_files import NoMembersError, as_json, members

TRICKY = st.sampled_from(['", "', '}, "a": {"', "NaN", "\\", '"', "[1, 2]}", "é", "\ud800", "\n"])
VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5) | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | TRICKY, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4) | TRICKY, VALUES, max_size=12)


def _parts(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _read(parts: list[bytes]) -> tuple[dict[str, Any], set[str]]:
    found: dict[str, Any] = {}
    twice: set[str] = set()
    for rows, own in members(parts):
        twice |= own | (rows.keys() & found.keys())
        found |= {name: msgspec.json.decode(as_json(bytes(raw))) for name, raw in rows.items()}
    return found, twice


@given(OBJECTS, st.integers(1, 60), st.sampled_from([None, 1]), st.booleans(), st.booleans())
def test_any_object_in_any_parts(
    table: dict[str, Any], size: int, indent: int | None, ascii: bool, marked: bool
) -> None:
    text = json.dumps(table, indent=indent, ensure_ascii=ascii)
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate is in JSON by its number only
        data = json.dumps(table, indent=indent).encode()
    found, twice = _read(_parts(b"\xef\xbb\xbf" * marked + data, size))
    assert found == msgspec.json.decode(as_json(data))
    assert not twice


def test_a_large_object_is_read_in_parts() -> None:
    table = {f"id{n}": {"image": {"n": [n, 1.5], "t": '}, "x'}, "of": {"a": n}} for n in range(3000)}
    parts = list(members(_parts(json.dumps(table).encode(), 4096)))
    assert len(parts) > 20
    assert max(len(rows) for rows, _ in parts) < 200
    assert [name for rows, _ in parts for name in rows] == list(table)


def test_a_record_longer_than_a_part() -> None:
    table = {"a": "x" * 1000, "b": [1], "c": "y" * 500}
    assert _read(_parts(json.dumps(table).encode(), 64)) == (table, set())


def test_numbers_beyond_json_are_null_and_words_stay() -> None:
    table = {f"{n}": {"score": math.nan, "low": -math.inf, "t": "NaN, -Infinity"} for n in range(200)}
    found, _ = _read(_parts(json.dumps(table).encode(), 700))
    assert found == {name: {"score": None, "low": None, "t": "NaN, -Infinity"} for name in table}


def test_names_that_stand_twice_are_told_in_one_part_and_in_two() -> None:
    text = ", ".join(f'"{n % 150}": {n}' for n in range(200))
    for size in (10**6, 100):
        found, twice = _read(_parts(f"{{{text}}}".encode(), size))
        assert (len(found), twice) == (150, {str(n) for n in range(50)})


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
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_no_object(data: bytes, size: int) -> None:
    with pytest.raises(NoMembersError):
        _read(_parts(data, size))


def test_a_lone_surrogate_does_not_keep_the_file_from_being_read_in_parts() -> None:
    table = {f"{n}": {"title": "\ud800", "smile": "\U0001f600"} for n in range(500)}
    parts = list(members(_parts(json.dumps(table).encode(), 2048)))
    assert len(parts) > 5
    assert [name for rows, _ in parts for name in rows] == list(table)


def test_a_damaged_file_is_mended_once_for_all_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each mending goes through all bytes: one for each of the tries took minutes for 50 MB.
    mended: list[int] = []
    real = json_files._mended

    def count(data: bytes) -> tuple[bytes, list[int], list[int]]:
        mended.append(len(data))
        return real(data)

    monkeypatch.setattr(json_files, "_mended", count)
    text = '{"0": oops, ' + ", ".join(f'"{n}": {{"title": "Infinity pool"}}' for n in range(1, 2000)) + "}"
    with pytest.raises(NoMembersError):
        _read(_parts(text.encode(), 1000))
    assert sum(mended) < 4 * len(text)


@pytest.mark.parametrize("fill", [b"x", b'\\" , \\"', b'b", "', b'NaN, "', b" "])
def test_a_member_without_an_end_is_given_up_early(fill: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_MEMBER", 1 << 16)
    read = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        yield b'{"a": ["'
        for _ in range(1000):
            read += 1
            yield fill * (1 << 12)

    with pytest.raises(NoMembersError, match="no record ends in"):
        list(members(parts()))
    assert read < 100


def test_mending_looks_at_each_byte_once() -> None:
    """A string without an end, after NaN, of quotes that are escaped: of 2 MB it takes no minutes."""
    data = b'{"a": NaN, "b": "' + b'\\" , ' * 500_000
    assert as_json(data) == data.replace(b"NaN", b"null")
