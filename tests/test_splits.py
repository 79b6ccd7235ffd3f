"""Splits: nothing leaks, nothing moves, the shares come near the fractions, and the hash never changes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from running import examples

from lpff_shards import ExportOptions, MixOptions, SourceOptions, plan_export
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.splits import OFFICIAL_SPLITS, Splits, by_fractions, note_unknown, official
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.build import ScannedImage, build
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob

HOSTS = {"ffhq": "flickr", "lpff": "flickr", "unsplash_pexels": "unsplash_pexels", "demo": "demo"}
Fractions = Sequence[tuple[str, Fraction]]


class Picture(NamedTuple):
    """What decides a picture's split."""

    id: str
    photo_id: str = ""
    author: str = ""
    author_id: str = ""
    category: str = ""
    is_mirror: bool = False


Pictures = dict[str, list[Picture]]
"""Pictures by source."""


def named(number: int, name: str) -> Picture:
    """A picture of which only its id and one more name are known."""
    given_: dict[str, Any] = {"id": f"{number}", name: f"someone {number}"}
    return Picture(**given_)


def inventory(source: str, pictures: Sequence[Picture]) -> Inventory:
    """An inventory of pictures without bytes."""
    found = [ScannedImage(p.id, FileBlob("/nowhere", 0), is_mirror=p.is_mirror, credit=_credit(p)) for p in pictures]
    built = build(source, "stylegan", found)
    assert len(built) == len(pictures)
    return built


def _credit(picture: Picture) -> Credit:
    return Credit(picture.photo_id, picture.author, picture.author_id, category=picture.category)


def splits_of(pictures: Pictures, fractions: Fractions) -> dict[tuple[str, str, bool], int]:
    """The split of each picture by source, id and whether it is a mirror."""
    inventories = [inventory(source, own) for source, own in pictures.items()]
    columns = by_fractions(inventories, fractions, inventories)
    return _by_picture(pictures, columns)


def _by_picture(pictures: Pictures, columns: Splits) -> dict[tuple[str, str, bool], int]:
    return {
        (source, picture.id, picture.is_mirror): int(split)
        for (source, own), column in zip(pictures.items(), columns, strict=True)
        for picture, split in zip(own, column, strict=True)
    }


def in_order(splits: dict[tuple[str, str, bool], int]) -> list[int]:
    return list(splits.values())


def ties(source: str, picture: Picture) -> Iterator[tuple[str, ...]]:
    """All that a picture must not share with one of another split."""
    host = HOSTS[source]
    yield "id", source, picture.id
    if picture.photo_id:
        yield "photo", host, picture.photo_id
    if picture.author_id:
        yield "author id", host, picture.author_id
    if picture.author.strip():
        yield "author", host, picture.author.strip().casefold()


def leaks(pictures: Pictures, splits: dict[tuple[str, str, bool], int]) -> dict[tuple[str, ...], set[int]]:
    """What pictures of several splits share."""
    found: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for source, own in pictures.items():
        for picture in own:
            for tie in ties(source, picture):
                found[tie].add(splits[source, picture.id, picture.is_mirror])
    return {tie: parts for tie, parts in found.items() if len(parts) > 1}


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True)


@st.composite
def any_fractions(draw: st.DrawFn) -> Fractions:
    """Two to six splits of any names whose shares add up to exactly 1."""
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    parts = draw(st.lists(st.integers(1, 1000), min_size=len(names), max_size=len(names)))
    fractions = [(name, Fraction(part, sum(parts))) for name, part in zip(names, parts, strict=True)]
    assert sum(share for _, share in fractions) == 1
    return fractions


IDS = [f"{n:02d}" for n in range(12)]
ANY_PICTURE = st.builds(
    Picture,
    id=st.sampled_from(IDS),
    photo_id=st.sampled_from(["", *(f"p{n}" for n in range(12))]),
    author=st.sampled_from(["", " ", "Ann", "ann ", "Zoë", "ZOË", "STRASSE", "Straße", "p1", *map(str, range(9))]),
    author_id=st.sampled_from(["", "Ann", *(f"u{n}" for n in range(12))]),
    category=st.sampled_from(["", "training", "validation"]),
    is_mirror=st.booleans(),
)


def _some_pictures(picture: SearchStrategy[Picture], sources: Sequence[str] = tuple(HOSTS)) -> SearchStrategy[Pictures]:
    own = st.lists(picture, max_size=12, unique_by=lambda p: (p.id, p.is_mirror))
    return st.dictionaries(st.sampled_from(sources), own, min_size=1)


@settings(max_examples=examples(300), deadline=None)
@given(pictures=_some_pictures(ANY_PICTURE), fractions=any_fractions())
def test_nothing_leaks_whatever_the_credits_say(pictures: Pictures, fractions: Fractions) -> None:
    splits = splits_of(pictures, fractions)
    assert leaks(pictures, splits) == {}
    assert all(0 <= split < len(fractions) for split in splits.values())


MANY = [(f"s{n}", Fraction(1, 100)) for n in range(100)]


@pytest.mark.parametrize(
    "pictures",
    [
        {"ffhq": [Picture("a", "1", "Ann"), Picture("b", "1", "Bob")]},
        {"ffhq": [Picture("a", "1", "Ann", "u"), Picture("b", "2", "Bob", "u")]},
        {"ffhq": [Picture("a", "1", "Ann", "u"), Picture("b", "2", "ann", "v")]},
        {"ffhq": [Picture("a", "1"), Picture("b", "1", "Bob")]},
        {"ffhq": [Picture("a", "", "", "u"), Picture("b", "1", "Bob", "u")]},
        {"ffhq": [Picture("a", "1", "Ann")], "lpff": [Picture("a_01", "1", "Bob")]},
        {"lpff": [Picture("a_01", "1", "", "u")], "ffhq": [Picture("a", "2", "", "u")]},
        {"ffhq": [Picture("a", "1", "Ann"), Picture("a", "2", "Bob", is_mirror=True)]},
        {"demo": [Picture("a", "1", "A"), Picture("b", "2", "B"), Picture("c", "2", "C"), Picture("d", "1", "C")]},
        {"ffhq": [Picture("a", "1", "A"), Picture("b", "2", "B")], "lpff": [Picture("c_01", "1", "B")]},
    ],
)
@pytest.mark.parametrize("salt", ["", "of old", "of late"])
def test_what_shares_a_name_shares_a_split(pictures: Pictures, salt: str) -> None:
    salted = {source: [_salted(picture, salt) for picture in own] for source, own in pictures.items()}
    for every in (salted, dict(reversed(salted.items()))):
        assert len(set(splits_of(every, MANY).values())) == 1


def _salted(picture: Picture, salt: str) -> Picture:
    """The picture by other names, so that no hash hides a leak by chance."""
    photo, author, author_id = (
        name and f"{name} {salt}" for name in (picture.photo_id, picture.author, picture.author_id)
    )
    return Picture(picture.id, photo, author, author_id, is_mirror=picture.is_mirror)


@pytest.mark.parametrize("name", ["photo_id", "author", "author_id"])
def test_the_same_names_on_different_hosts_do_not_tie(name: str) -> None:
    own = [named(n, name) for n in range(200)]
    splits = splits_of(dict.fromkeys(HOSTS, own), MANY)
    columns = {source: [splits[source, picture.id, False] for picture in own] for source in HOSTS}
    assert columns["ffhq"] == columns["lpff"]
    for one, other in (("ffhq", "demo"), ("ffhq", "unsplash_pexels"), ("demo", "unsplash_pexels")):
        assert sum(a == b for a, b in zip(columns[one], columns[other], strict=True)) < 20


def test_the_same_ids_of_different_sources_do_not_tie() -> None:
    own = [Picture(f"{n}") for n in range(200)]
    splits = splits_of({"ffhq": own, "lpff": own}, MANY)
    assert sum(splits["ffhq", p.id, False] == splits["lpff", p.id, False] for p in own) < 20


def test_different_kinds_of_names_do_not_tie() -> None:
    splits = in_order(splits_of({"ffhq": [Picture(f"{n}", photo_id=f"{n}") for n in range(200)]}, MANY))
    others = in_order(splits_of({"ffhq": [Picture(f"{n}", author=f"{n}") for n in range(200)]}, MANY))
    assert sum(a == b for a, b in zip(splits, others, strict=True)) < 20


USERS = [f"u{n}" for n in range(8)]
PHOTOS = [f"p{n}" for n in range(10)]
USER_NAMES = st.lists(st.sampled_from(["", "Ann", "ann", "Bob", "Cy", "Di"]), min_size=8, max_size=8)


@st.composite
def consistent_pictures(draw: st.DrawFn) -> Pictures:
    """Pictures whose author ids have one name each, and whose photos have one author each."""
    authors = [("", ""), ("Ann", ""), ("Eve", ""), *zip(draw(USER_NAMES), USERS, strict=True)]
    of_photo = draw(st.lists(st.sampled_from(authors), min_size=len(PHOTOS), max_size=len(PHOTOS)))
    credits = [("", *author) for author in authors]
    credits += [(photo, *author) for photo, author in zip(PHOTOS, of_photo, strict=True)]
    bare = draw(_some_pictures(st.builds(Picture, st.sampled_from(IDS[:8]), *[st.just("")] * 4, st.booleans())))
    chosen = {source: {p.id: draw(st.sampled_from(credits)) for p in own} for source, own in bare.items()}
    return {source: [_credited(p, *chosen[source][p.id]) for p in own] for source, own in bare.items()}


def _credited(picture: Picture, photo_id: str, author: str, author_id: str) -> Picture:
    return picture._replace(photo_id=photo_id, author=author, author_id=author_id)


@settings(max_examples=examples(200), deadline=None)
@given(pictures=consistent_pictures(), fractions=any_fractions(), data=st.data())
def test_more_pictures_and_sources_in_any_order_move_none(
    pictures: Pictures, fractions: Fractions, data: st.DataObject
) -> None:
    whole = splits_of(pictures, fractions)
    sources = data.draw(st.lists(st.sampled_from(sorted(pictures)), min_size=1, unique=True))
    fewer = {
        source: data.draw(st.lists(st.sampled_from(own), unique=True)) if (own := pictures[source]) else []
        for source in sources
    }
    some = splits_of(fewer, fractions)
    assert some == {picture: whole[picture] for picture in some}


@settings(max_examples=examples(100), deadline=None)
@given(pictures=_some_pictures(ANY_PICTURE), fractions=any_fractions(), data=st.data())
def test_no_order_moves_a_picture_even_where_credits_disagree(
    pictures: Pictures, fractions: Fractions, data: st.DataObject
) -> None:
    sources = data.draw(st.permutations(sorted(pictures)))
    shuffled = {source: data.draw(st.permutations(pictures[source])) for source in sources}
    assert splits_of(shuffled, fractions) == splits_of(pictures, fractions)


def test_a_picture_alone_is_where_its_author_is() -> None:
    own = [Picture(f"{n}", f"p{n}", "Ann", "u1") for n in range(3)]
    alone = splits_of({"lpff": [Picture("x_01", author="ann")]}, MANY)
    assert set(splits_of({"ffhq": own}, MANY).values()) == set(alone.values())


@pytest.mark.parametrize(
    "spec", ["train=0.96,val=0.02,test=0.02", "train=0.8,val=0.1,test=0.1", "a=0.5,b=0.3,c=0.15,d=0.05"]
)
@pytest.mark.parametrize("name", ["author", "author_id", "photo_id", "id"])
def test_shares_come_near_the_fractions(spec: str, name: str) -> None:
    count = 10_000
    fractions = MixOptions(splits=spec).fractions
    own = [named(n, name) for n in range(count)]
    splits = in_order(splits_of({"lpff": own}, fractions))
    for place, (_, share) in enumerate(fractions):
        deviation = math.sqrt(count * share * (1 - share))
        assert abs(splits.count(place) - count * share) < 4.5 * deviation


def test_shares_are_of_authors_however_many_pictures_they_have() -> None:
    own = [Picture(f"{n} {k}", author=f"{n}") for n in range(4_000) for k in range(n % 5 + 1)]
    splits = splits_of({"lpff": own}, [("train", Fraction(1, 4)), ("val", Fraction(3, 4))])
    training = {id.split(" ")[0] for (_, id, _), split in splits.items() if split == 0}
    assert abs(len(training) - 1_000) < 4.5 * math.sqrt(4_000 * 3 / 16)


def test_one_split_takes_all() -> None:
    own = [Picture(f"{n}", author=f"{n}") for n in range(50)]
    assert set(splits_of({"lpff": own}, [("val", Fraction(1))]).values()) == {0}


@pytest.mark.parametrize("pictures", [{}, {"ffhq": []}, {"ffhq": [], "lpff": [Picture("a_01")], "demo": []}])
def test_sources_may_be_empty(pictures: Pictures) -> None:
    inventories = [inventory(source, own) for source, own in pictures.items()]
    for columns in (by_fractions(inventories, MANY, inventories), official(inventories, inventories)[0]):
        assert [len(column) for column in columns] == [len(own) for own in pictures.values()]
        assert all(column.dtype == "int8" for column in columns)


@pytest.mark.parametrize(
    ("source", "picture", "split"),
    [
        ("ffhq", Picture("x", "1", "Ann", "u"), "test"),
        ("lpff", Picture("x", "1", " ANN", "v"), "test"),
        ("ffhq", Picture("x", author="bob"), "test"),
        ("ffhq", Picture("x", author="Zoë"), "train"),
        ("lpff", Picture("x", author="Straße"), "train"),
        ("lpff", Picture("x", author="李小龙"), "val"),
        ("ffhq", Picture("x", author="Jérémy Frumkin"), "train"),
        ("demo", Picture("x", author="Demo author 1"), "train"),
        ("lpff", Picture("x", "1", "", "100004356@N06"), "val"),
        ("ffhq", Picture("x", "1", " ", "frumkin"), "test"),
        ("lpff", Picture("x", "21795165006"), "test"),
        ("ffhq", Picture("x", "1133484654"), "val"),
        ("unsplash_pexels", Picture("x", "wYu7Rc2bqzE"), "test"),
        ("unsplash_pexels", Picture("x", "guess-attic-girl-woman-pretty"), "train"),
        ("lpff", Picture("99873466@N00_3071459241_01"), "train"),
        ("ffhq", Picture("00000"), "test"),
        ("ffhq", Picture("69999"), "train"),
        ("unsplash_pexels", Picture("wYu7Rc2bqzE_01"), "val"),
    ],
)
def test_the_hash_never_changes(source: str, picture: Picture, split: str) -> None:
    fractions = MixOptions(splits="train=0.5,val=0.25,test=0.25").fractions
    (place,) = in_order(splits_of({source: [picture]}, fractions))
    assert fractions[place][0] == split


def _official(pictures: Pictures) -> tuple[dict[str, str], list[str]]:
    """The part of each picture by source and id, and the notes."""
    inventories = [inventory(source, own) for source, own in pictures.items()]
    columns, notes = official(inventories, inventories)
    found = _by_picture(pictures, columns)
    return {f"{source} {id}": OFFICIAL_SPLITS[split] for (source, id, _), split in found.items()}, notes


TRAINING = Picture("00000", "1", "Ann", "ann", "training")
VALIDATION = Picture("00001", "2", "Bob", "bob", "validation")


def test_official_gives_ffhq_its_own_parts() -> None:
    parts, notes = _official({"ffhq": [TRAINING, VALIDATION, VALIDATION._replace(id="00002")]})
    assert parts == {"ffhq 00000": "train", "ffhq 00001": "val", "ffhq 00002": "val"}
    assert notes == []


def test_official_keeps_a_picture_and_its_mirror_together() -> None:
    own = [p._replace(is_mirror=mirror) for p in (TRAINING, VALIDATION) for mirror in (False, True)]
    columns, _ = official([inventory("ffhq", own)], [inventory("ffhq", own)])
    assert columns[0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (Picture("a_01"), "train"),
        (Picture("a_01", "9", "Cy", "cy"), "train"),
        (Picture("a_01", "1", "Ann", "ann"), "train"),
        (Picture("a_01", "2"), "val"),
        (Picture("a_01", "9", "Bob"), "val"),
        (Picture("a_01", "9", " BOB "), "val"),
        (Picture("a_01", "9", "Robert", "bob"), "val"),
        (Picture("a_01", "1", "Ann", "bob"), "val"),
        (Picture("a_01", "9", "2", "1"), "train"),
        (Picture("00001"), "train"),
        (Picture("a_01", "9", "Cy", "cy", "validation"), "train"),
    ],
)
@pytest.mark.parametrize("first", ["ffhq", "lpff"])
def test_official_validates_with_what_shares_ffhqs_validation(other: Picture, part: str, first: str) -> None:
    pictures = {"ffhq": [TRAINING, VALIDATION], "lpff": [other]}
    parts, _ = _official(pictures if first == "ffhq" else dict(reversed(pictures.items())))
    assert parts == {"ffhq 00000": "train", "ffhq 00001": "val", f"lpff {other.id}": part}


def test_official_follows_a_chain_of_other_pictures() -> None:
    chain = [Picture("a_01", "2", "Cy"), Picture("b_01", "3", "cy"), Picture("c_01", "3"), Picture("d_01", "4")]
    parts, _ = _official({"ffhq": [VALIDATION], "lpff": chain})
    assert [parts[f"lpff {p.id}"] for p in chain] == ["val", "val", "val", "train"]


@pytest.mark.parametrize("source", ["unsplash_pexels", "demo"])
def test_official_ties_no_other_host(source: str) -> None:
    parts, _ = _official({"ffhq": [VALIDATION], source: [VALIDATION]})
    assert parts[f"{source} 00001"] == "train"


def test_official_counts_the_authors_that_ffhq_has_in_both_parts() -> None:
    crossing = [TRAINING, TRAINING._replace(id="00003", photo_id="7", category="validation")]
    others = [VALIDATION, VALIDATION._replace(id="00004"), Picture("00005", "8", "Di", "di", "training")]
    shared = Picture("a_01", author="Ann")
    parts, notes = _official({"ffhq": [*crossing, *others], "lpff": [shared]})
    assert [parts[f"ffhq {p.id}"] for p in crossing] == ["train", "val"]
    assert parts["lpff a_01"] == "val"
    assert notes == ["--splits official: 1 authors have photos in both of FFHQ's parts, as FFHQ was split"]


def test_official_counts_the_pictures_whose_part_is_unknown() -> None:
    parts, notes = _official({"ffhq": [TRAINING, Picture("00003"), Picture("00004")], "lpff": [Picture("a_01")]})
    assert set(parts.values()) == {"train"}
    assert notes == ["--splits official: 2 FFHQ pictures have no record of their part and train"]


@settings(max_examples=examples(200), deadline=None)
@given(pictures=_some_pictures(ANY_PICTURE))
def test_official_lets_no_other_source_leak_into_training(pictures: Pictures) -> None:
    inventories = [inventory(source, own) for source, own in pictures.items()]
    columns, _ = official(inventories, inventories)
    splits = _by_picture(pictures, columns)
    held = {
        tie
        for source, own in pictures.items()
        for picture in own
        if splits[source, picture.id, picture.is_mirror] == 1
        for tie in ties(source, picture)
    }
    for source, own in pictures.items():
        for picture in own:
            split = splits[source, picture.id, picture.is_mirror]
            if source == "ffhq":
                assert split == (picture.category == "validation")
            elif split == 0:
                assert held.isdisjoint(ties(source, picture))


def _plan(demo: int, **mix: str) -> Plan:
    return plan_export(
        ExportOptions(format="wds", out="x", sources=SourceOptions(demo=demo), mix=MixOptions(**mix))  # type: ignore[arg-type]
    )


def test_a_plan_keeps_mirrors_and_copies_with_their_author() -> None:
    plan = _plan(80, rebalance="eg3d", splits="train=0.6,val=0.4")
    (own,) = plan.inventories
    splits: dict[str, set[int]] = defaultdict(set)
    for row, split in zip(plan.entries.row.tolist(), plan.entries.split.tolist(), strict=True):
        splits[own.credits[row].author].add(split)
    assert sorted(map(len, splits.values())) == [1] * len(splits)
    assert set().union(*splits.values()) == {0, 1}


def test_a_plan_copies_training_pictures_only() -> None:
    entries = _plan(80, rebalance="eg3d", splits="train=0.6,val=0.4").entries
    assert set(entries.split[entries.replica > 0].tolist()) == {0}
    assert set(entries.split.tolist()) == {0, 1}


def test_a_plan_of_more_pictures_leaves_the_others_in_their_splits() -> None:
    few, many = (_plan(demo, splits="train=0.5,val=0.5") for demo in (20, 40))
    splits = dict(zip(many.keys, many.entries.split.tolist(), strict=True))
    assert [splits[key] for key in few.keys] == few.entries.split.tolist()
    assert set(splits.values()) == {0, 1}


def test_two_encodings_of_one_name_are_one_author() -> None:
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    pictures = [Picture("1")._replace(author=composed), Picture("2")._replace(author=decomposed)]
    for share in range(1, 20):
        found = splits_of({"lpff": pictures}, (("train", Fraction(share, 20)), ("val", Fraction(20 - share, 20))))
        assert len(set(found.values())) == 1


def test_what_is_filtered_out_moves_nothing() -> None:
    # The second picture ties the other two together: it has the one's author and the other's photo.
    tied = [Picture("1", author="A"), Picture("2", author="A", photo_id="7"), Picture("3", photo_id="7", author="Z")]
    everything = inventory("lpff", tied)
    without = everything.take(np.array([0, 2]))
    for share in range(1, 20):
        fractions = (("train", Fraction(share, 20)), ("val", Fraction(20 - share, 20)))
        (before,) = by_fractions([everything], fractions, [everything])
        (after,) = by_fractions([without], fractions, [everything])
        assert after.tolist() == before[[0, 2]].tolist()
        assert len(set(before.tolist())) == 1


def test_pictures_that_cannot_be_used_tie_others_too() -> None:
    tied = [Picture("1", author="A"), Picture("3", photo_id="7", author="Z")]
    lost = Credit(author="A", photo_id="7")
    everything = replace(inventory("lpff", tied), problem_credits=(lost,))
    for share in range(1, 20):
        fractions = (("train", Fraction(share, 20)), ("val", Fraction(20 - share, 20)))
        (found,) = by_fractions([everything], fractions, [everything])
        assert len(set(found.tolist())) == 1


def test_where_leaks_cannot_be_seen_is_counted() -> None:
    pictures = [Picture("1"), Picture("1", is_mirror=True), Picture("2", photo_id="7"), Picture("3", author="A")]
    (note,) = note_unknown([inventory("lpff", pictures)])
    assert note.startswith("--splits: the author of 2 pictures is not known, for 1 of them not even the photo")
    assert list(note_unknown([inventory("lpff", [Picture("3", author_id="A")])])) == []
