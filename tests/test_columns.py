"""Columns are the sequences that they were made of."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from lpff_shards.schemas.columns import Repeated, Structs, Texts, duplicates

TEXTS = st.lists(
    st.text(st.characters(max_codepoint=0x1F600), max_size=9) | st.sampled_from(["", "odd\udcff", "ü", "a"])
)


class File(Struct, frozen=True):
    """A struct of all kinds of fields."""

    FEW: ClassVar[tuple[str, ...]] = ("archive",)

    archive: str
    name: str
    size: int
    pose: tuple[float, ...] = ()

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.name}"


class Broken(Struct, frozen=True):
    """Another."""

    where: str
    size: int = 0


FILES = st.builds(
    File, st.sampled_from(["a", "b"]), st.text(max_size=4), st.integers(-(2**63), 2**63 - 1), st.just((1.0,))
)
MIXED = st.lists(FILES | st.builds(Broken, st.text(max_size=3)))


@given(TEXTS, st.data())
def test_texts_are_a_list_of_strings(texts: list[str], data: st.DataObject) -> None:
    column_ = Texts.of(iter(texts))
    assert list(column_) == texts == [column_[row] for row in range(len(texts))]
    assert column_ == texts and column_ == tuple(texts) and column_ != [*texts, "x"]
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1))) if texts else []
    assert list(column_.take(np.array(rows, np.int64))) == [texts[row] for row in rows]
    cut = data.draw(st.slices(len(texts)))
    assert list(column_[cut]) == texts[cut]
    if texts:
        assert column_[-1] == texts[-1] and column_.index(texts[-1]) == texts.index(texts[-1])
    for outside in (len(texts), -len(texts) - 1):
        with pytest.raises(IndexError):
            column_[outside]


@given(MIXED, st.data())
def test_structs_are_a_list_of_structs(items: list[File | Broken], data: st.DataObject) -> None:
    structs = Structs.of(iter(items))
    assert list(structs) == items == [structs[row] for row in range(len(items))]
    rows = np.array(data.draw(st.lists(st.integers(0, len(items) - 1))) if items else [], np.int64)
    some = [items[row] for row in rows.tolist()]
    taken = structs.take(rows)
    assert list(taken) == some == [taken[row] for row in range(len(some))]
    assert list(taken.column("size")) == [item.size for item in some]
    assert list(taken.column("where")) == [item.where for item in some]
    if items:
        assert structs[-1] == items[-1]
    with pytest.raises(IndexError):
        structs[len(items)]


def test_many_are_one_behind_the_other() -> None:
    items = [File("a" if n % 3 else "b", f"ü{n}" if n > 6000 else str(n), n) for n in range(9001)]
    structs = Structs.of(items)
    assert list(structs) == items and structs[8192] == items[8192]
    assert list(structs.column("name")) == [item.name for item in items]
    assert Structs.of([*items, Broken("x")])[9001] == Broken("x")


def test_repeated_values_are_known_by_codes() -> None:
    values = Structs.of([File("b", "", 0), File("a", "", 1), File("b", "", 2)]).column("archive")
    assert isinstance(values, Repeated)
    assert list(values) == ["b", "a", "b"]
    taken = values.take(np.array([0, 2]))
    assert taken.met() == ["b"] and list(taken) == ["b", "b"]


def test_the_first_field_of_several_that_structs_have() -> None:
    files = Structs.of([File("a", "n", 0)])
    assert list(files.column("uri", "name", "where")) == ["n"] and list(files.column("uri", "where")) == ["a:n"]
    assert list(Structs.of([File("a", "n", 0), Broken("x")]).column("name", "where")) == ["a:n", "x"]


def test_texts_that_stand_twice() -> None:
    assert duplicates([["a", "b"], Texts.of(["b", "c", "d", "d"])]) == {"b", "d"}
    assert duplicates([["a", "b"], ["c"]]) == duplicates([[]]) == duplicates([]) == set()
