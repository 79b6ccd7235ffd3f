"""EG3D's replica file: what is refused of it, and that its counts reach the pictures they are meant for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import dump, edit, eg3d_name, write, write_ffhq_eg3d, write_ffhq_stylegan, write_ffhq_v2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards import ExportOptions, MixOptions, ShardOptions, ShardsError, SourceOptions, plan_export
from lpff_shards.planning.plan import Plan
from lpff_shards.sources.registry import read_num_replicas

HINT = "Give EG3D's published file, image index to replicas"


def _read(folder: Path, data: str | bytes) -> list[int]:
    path = write(folder / "n.json", data if isinstance(data, bytes) else data.encode())
    counts = read_num_replicas(str(path))
    assert counts.dtype == np.int64
    listed: list[int] = counts.tolist()
    return listed


def _refusal(folder: Path, data: str | bytes) -> str:
    """What is said of a file, less its name, which must be told."""
    with pytest.raises(ShardsError) as caught:
        _read(folder, data)
    said, path = str(caught.value), str(folder / "n.json")
    assert path in said and "\n" not in said
    assert caught.value.exit_status == 2
    return said.replace(path, "FILE")


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        ('{"0": 1}', [1]),
        ('{"2": 3, "0": 1, "1": 1000}', [1, 1000, 3]),
        (b'\xef\xbb\xbf\n{"0":16,\n"1":2}\n', [16, 2]),
        ('{"\\u0031": 2, "0": 3}', [3, 2]),
        (json.dumps({str(n): n % 9 + 1 for n in range(1200)}), [n % 9 + 1 for n in range(1200)]),
    ],
)
def test_counts_by_index_in_any_order(tmp_path: Path, data: str | bytes, counts: list[int]) -> None:
    assert _read(tmp_path, data) == counts


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("0", "index 1 has 0 replicas, not 1 to 1000"),
        ("-0", "index 1 has 0 replicas, not 1 to 1000"),
        ("-3", "index 1 has -3 replicas, not 1 to 1000"),
        ("1001", "index 1 has 1001 replicas, not 1 to 1000"),
        (f"{2**63}", f"index 1 has {2**63} replicas, not 1 to 1000"),
        ("9" * 30, f"index 1 has {'9' * 30} replicas, not 1 to 1000"),
        ("9" * 5000, "index 1: its record cannot be read: "),
        ("2.5", "index 1: its record cannot be read: "),
        ("2.0", "index 1: its record cannot be read: "),
        ("2e0", "index 1: its record cannot be read: "),
        ("1e999", "index 1: its record cannot be read: "),
        ("NaN", "index 1: its record cannot be read: "),
        ("-Infinity", "index 1: its record cannot be read: "),
        ("true", "index 1: its record cannot be read: "),
        ("false", "index 1: its record cannot be read: "),
        ("null", "index 1: its record cannot be read: "),
        ('"2"', "index 1: its record cannot be read: "),
        ('"\\ud800"', "index 1: its record cannot be read: "),
        ("[2]", "index 1: its record cannot be read: "),
        ('{"2": 2}', "index 1: its record cannot be read: "),
    ],
)
def test_a_number_that_is_none_is_refused_with_its_index(tmp_path: Path, value: str, reason: str) -> None:
    said = _refusal(tmp_path, f'{{"0": 1, "1": {value}, "2": 1}}')
    assert said.startswith(f"--num-replicas FILE: {reason}")
    assert said.endswith(f". {HINT}")


@pytest.mark.parametrize(
    "key", ["", "x", "00", "01", "+1", "-1", "1.0", "1e0", " 1", "1 ", "1_0", "0x1", "１", "١", "²", "1\u200b",
            "1\n", "1\x00", "1" * 10, "9" * 5000, "00000.png"],
)  # fmt: skip
def test_a_key_that_is_no_index_is_refused_by_name(tmp_path: Path, key: str) -> None:
    said = _refusal(tmp_path, json.dumps({"0": 1, key: 1}))
    shown = key if len(key) <= 60 else f"{key[:60]}..."
    assert said == str(ShardsError(f"--num-replicas FILE: {shown!r} is not an image index", HINT))


@pytest.mark.parametrize(
    ("indices", "reason"),
    [
        ([1], "it lacks index 0, but has index 1"),
        ([0, 2], "it lacks index 1, but has index 2"),
        ([0, 1, 3, 4], "it lacks index 2, but has index 4"),
        ([0, 999_999_999], "it lacks index 1, but has index 999999999"),
    ],
)
def test_a_missing_index_is_named(tmp_path: Path, indices: list[int], reason: str) -> None:
    data = json.dumps({str(index): 1 for index in indices})
    assert _refusal(tmp_path, data) == f"--num-replicas FILE: {reason}. {HINT}"


@pytest.mark.parametrize(
    "data", ['{"0": 1, "1": 2, "1": 2}', '{"1": 3, "0": 1, "1": 2}', '{"0": 1, "1": 2, "\\u0031": 2}']
)
def test_an_index_given_twice_is_named(tmp_path: Path, data: str) -> None:
    assert _refusal(tmp_path, data) == f"--num-replicas FILE: index 1: the id is in the file twice. {HINT}"


@pytest.mark.parametrize("data", ["[1, 2]", "[]", "null", "3", '"0"', "true", "[" * 100_000])
def test_what_is_no_object_is_refused(tmp_path: Path, data: str) -> None:
    assert _refusal(tmp_path, data).startswith("FILE does not contain numbers of replicas by image index: ")


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b'{"0"', b'{"0": 1', b'{"0": 1, ', b'{"0": 1} {}', b"{0: 1}", b'{"0": 01}', b"{'0': 1}",
     b'{"0": 1,}', b"\xff\xfe{\x00", b'{"\xff": 1}', b'{"0": ' + b"[" * 100_000, b"\x80\x04K\x01."],
)  # fmt: skip
def test_what_is_no_whole_json_is_refused(tmp_path: Path, data: bytes) -> None:
    assert _refusal(tmp_path, data).startswith(("FILE is not valid JSON: ", "--num-replicas FILE: index 0: "))


@pytest.mark.parametrize("name", ["nowhere.json", "folder", "nowhere/n.json"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ShardsError) as caught:
        read_num_replicas(str(tmp_path / name))
    assert str(caught.value).startswith(f"--num-replicas {tmp_path / name} ")
    assert str(caught.value).endswith(". Give the file itself")


KEYS = st.one_of(st.integers(-1, 4).map(str), st.text(max_size=3), st.sampled_from(["00", "٣", "9" * 5000]))
VALUES = st.recursive(
    st.one_of(st.integers(-1, 5), st.integers(), st.none(), st.booleans(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=30),
        VALUES.map(json.dumps),
        st.dictionaries(KEYS, VALUES, min_size=1, max_size=5).map(json.dumps),
        st.permutations(range(5)).map(lambda order: json.dumps({str(n): n + 1 for n in order})),
    ),
    cut=st.integers(0, 10),
)
def test_any_file_is_read_or_refused(tmp_path: Path, data: str | bytes, cut: int) -> None:
    text = data if isinstance(data, bytes) else data.encode()
    try:
        counts = _read(tmp_path, text[: len(text) - cut])
    except ShardsError as error:
        assert "n.json" in str(error)
    else:
        assert counts == [json.loads(text[: len(text) - cut])[str(n)] for n in range(len(counts))]


def test_the_published_file(shared_data: Path) -> None:
    counts = read_num_replicas(str(shared_data / "FFHQ_num_replicas.json"))
    assert (len(counts), int(counts.sum())) == (139_914, 245_862)
    assert set(counts.tolist()) == {1, 2, 4, 8, 16}


# Through the plan: the counts reach the pictures they are meant for.

COUNTS = [3, 1, 4, 2, 5, 9, 2, 6]


def _file(folder: Path, counts: Sequence[int] = COUNTS) -> Path:
    """A replica file whose entries stand in another order than their indices'."""
    return dump(folder / "n.json", {str(index): counts[index] for index in reversed(range(len(counts)))})


def _plan(tmp_path: Path, counts: Sequence[int] = COUNTS, mix: Mapping[str, Any] | None = None, **ffhq: Any) -> Plan:
    """The plan of tmp_path/F in the published order; `ffhq` is more of its source."""
    replicas = str(_file(tmp_path, counts))
    options = ExportOptions(
        format="wds",
        out="x",
        sources=SourceOptions(ffhq=str(tmp_path / "F"), **ffhq),
        mix=MixOptions(rebalance="eg3d", num_replicas=replicas, **(mix or {})),
        shards=ShardOptions(shuffle=False),
    )
    return plan_export(options)


def _copies(plan: Plan) -> dict[str, int]:
    """How often each picture is written, by its key without the copy's number; copies are numbered from 0."""
    numbers: dict[str, list[int]] = {}
    for key, replica in zip(plan.keys, plan.entries.replica.tolist(), strict=True):
        numbers.setdefault(key.partition("_r")[0], []).append(replica)
    assert all(found == list(range(len(found))) for found in numbers.values())
    return {key: len(found) for key, found in numbers.items()}


def _keys(photos: Sequence[int], naming: str = "id") -> list[str]:
    """Keys of the originals and mirrors of photos, in the published order."""
    stems = [f"{photo:05d}" if naming == "id" else f"img{2 * photo:08d}" for photo in photos]
    return [f"ffhq_{stem}{mirror}" for stem in stems for mirror in ("", "_m")]


@pytest.mark.parametrize("naming", ["id", "index"])
def test_each_picture_is_copied_as_the_file_says(tmp_path: Path, naming: str) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4, naming)
    plan = _plan(tmp_path)
    assert list(_copies(plan).items()) == list(zip(_keys(range(4), naming), COUNTS, strict=True))
    assert plan.samples == sum(COUNTS)
    assert plan.name == "ffhq_rebalanced"


def test_copies_follow_their_original(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "F", 1)
    assert _plan(tmp_path, [2, 3]).keys == [
        *("ffhq_00000", "ffhq_00000_r01", "ffhq_00000_m", "ffhq_00000_m_r01", "ffhq_00000_m_r02")
    ]


def test_as_weights_each_picture_is_written_once_and_weighs_its_count(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4)
    plan = _plan(tmp_path, mix={"as_": "weights"})
    assert plan.keys == _keys(range(4))
    assert plan.entries.weight.tolist() == COUNTS


@pytest.mark.parametrize("naming", ["id", "index"])
def test_without_mirrors_the_originals_keep_their_counts(tmp_path: Path, naming: str) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4, naming)
    copies = _copies(_plan(tmp_path, mirror=False))
    assert list(copies.items()) == list(zip(_keys(range(4), naming)[::2], COUNTS[::2], strict=True))


@pytest.mark.parametrize("naming", ["id", "index"])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_pictures_that_are_not_there_shift_no_index(tmp_path: Path, naming: str, lost: int) -> None:
    root = write_ffhq_eg3d(tmp_path / "F", 4, naming)
    for mirror in (False, True):
        (root / eg3d_name(lost, mirror, naming)).unlink()
    expected = dict(zip(_keys(range(4), naming), COUNTS, strict=True))
    for key in _keys([lost], naming):
        del expected[key]
    assert list(_copies(_plan(tmp_path)).items()) == list(expected.items())


@pytest.mark.parametrize("naming", ["id", "index"])
def test_a_mirror_that_is_made_counts_as_the_mirror_that_is_not_there(tmp_path: Path, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "F", 4, naming)
    (root / eg3d_name(2, True, naming)).unlink()
    plan = _plan(tmp_path)
    assert list(_copies(plan).items()) == list(zip(_keys(range(4), naming), COUNTS, strict=True))
    assert int(plan.entries.flip.sum()) == COUNTS[5]


@pytest.mark.parametrize("naming", ["id", "index"])
def test_excluded_pictures_shift_no_index(tmp_path: Path, naming: str) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4, naming)
    exclude = write(tmp_path / "withdrawn.txt", b"00000\n00002\nimg00000000\nimg00000004\n")
    expected = {key: n for key, n in zip(_keys(range(4), naming), COUNTS, strict=True) if key in _keys([1, 3], naming)}
    assert _copies(_plan(tmp_path, mix={"exclude": str(exclude)})) == expected


def test_pictures_of_other_licenses_shift_no_index(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4)
    metadata = write_ffhq_v2(tmp_path / "v2.json", range(4))
    plan = _plan(tmp_path, mix={"license": ("CC-BY-SA-2.0",)}, ffhq_metadata=str(metadata))
    assert _copies(plan) == {"ffhq_00001": 4, "ffhq_00001_m": 2}


def test_validation_pictures_shift_no_index_and_are_written_once(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4)
    plan = _plan(tmp_path, mix={"splits": "official"}, ffhq_metadata=write_ffhq_v2(tmp_path / "v2.json", range(4)))
    expected = {"ffhq_00000": 3, "ffhq_00000_m": 1, "ffhq_00002": 5, "ffhq_00002_m": 9}
    assert _copies(plan) == expected | dict.fromkeys(_keys([1, 3]), 1)


def test_ids_are_counted_by_their_place_in_dataset_json_in_the_order_of_names(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "F", [2, 40, 500, 69_999])
    edit(root / "dataset.json", lambda table: {"labels": table["labels"][::-1]})
    assert list(_copies(_plan(tmp_path)).items()) == list(zip(_keys([2, 40, 500, 69_999]), COUNTS, strict=True))


def test_names_by_index_tell_the_index_themselves(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "F", [1, 3], "index")
    assert list(_copies(_plan(tmp_path)).items()) == list(zip(_keys([1, 3], "index"), [4, 2, 2, 6], strict=True))


def _stylegan(tmp_path: Path, photos: Sequence[int], labeled: Sequence[int], **more: Any) -> dict[str, int]:
    """Copies of StyleGAN-aligned FFHQ, with cameras of some photos by EG3D's dataset.json."""
    write_ffhq_stylegan(tmp_path / "F", photos)
    write_ffhq_eg3d(tmp_path / "eg3d", labeled)
    return _copies(_plan(tmp_path, alignment="stylegan", ffhq_cameras=f"{tmp_path}/eg3d/dataset.json", **more))


def test_stylegan_aligned_originals_are_counted_by_eg3ds_index(tmp_path: Path) -> None:
    copies = _stylegan(tmp_path, range(4), range(4))
    assert list(copies.items()) == list(zip(_keys(range(4))[::2], COUNTS[::2], strict=True))


def test_stylegan_aligned_mirrors_are_counted_by_eg3ds_index(tmp_path: Path) -> None:
    copies = _stylegan(tmp_path, range(4), range(4), mirror=True)
    assert list(copies.items()) == list(zip(_keys(range(4)), COUNTS, strict=True))


def test_stylegan_aligned_pictures_that_are_not_there_shift_no_index(tmp_path: Path) -> None:
    assert _stylegan(tmp_path, [1, 3], range(4)) == {"ffhq_00001": 4, "ffhq_00003": 2}


def test_stylegan_aligned_pictures_that_eg3d_left_out_count_once(tmp_path: Path) -> None:
    assert _stylegan(tmp_path, range(5), [0, 1, 3, 4]) == {
        **{"ffhq_00000": 3, "ffhq_00001": 4, "ffhq_00002": 1},
        **{"ffhq_00003": 5, "ffhq_00004": 2},
    }


def _refused(tmp_path: Path, counts: Sequence[int], **sources: Any) -> str:
    with pytest.raises(ShardsError) as caught:
        _plan(tmp_path, counts, **sources)
    return str(caught.value)


@pytest.mark.parametrize("naming", ["id", "index"])
def test_an_empty_file_is_refused(tmp_path: Path, naming: str) -> None:
    write_ffhq_eg3d(tmp_path / "F", 1, naming)
    said = _refused(tmp_path, [])
    assert said.startswith("--num-replicas ")
    assert "n.json: it is empty" in said


@pytest.mark.parametrize("counts", [[*COUNTS, 1], COUNTS[:-1], [1]])
def test_a_file_of_another_size_than_dataset_json_is_refused(tmp_path: Path, counts: list[int]) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4)
    said = _refused(tmp_path, counts)
    assert f"has {len(counts)} images, EG3D's dataset.json 8: they do not match" in said


def test_a_file_of_another_size_is_refused_even_where_few_pictures_are_there(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "F", 4)
    for photo in (0, 3):
        for mirror in (False, True):
            (root / eg3d_name(photo, mirror, "id")).unlink()
    assert "has 4 images, EG3D's dataset.json 8" in _refused(tmp_path, COUNTS[:4])


def test_a_file_of_another_size_is_refused_for_stylegan_aligned_pictures(tmp_path: Path) -> None:
    write_ffhq_stylegan(tmp_path / "F", 4)
    cameras = write_ffhq_eg3d(tmp_path / "eg3d", 4) / "dataset.json"
    said = _refused(tmp_path, COUNTS[:6], alignment="stylegan", ffhq_cameras=cameras)
    assert "has 6 images, EG3D's dataset.json 8" in said


@pytest.mark.parametrize(("known", "lacking"), [(7, 7), (6, 6), (5, 5), (1, 1)])
def test_a_file_that_ends_too_early_is_refused_with_the_index_and_the_picture(
    tmp_path: Path, known: int, lacking: int
) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4, "index")
    said = _refused(tmp_path, COUNTS[:known])
    picture = f"img{lacking - lacking % 2:08d}"
    assert f" ends at index {known - 1} and lacks {lacking}, picture {picture}" in said


def test_a_file_that_ends_behind_the_last_picture_that_is_written_is_taken(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "F", 4, "index")
    copies = _copies(_plan(tmp_path, COUNTS[:7], mirror=False))
    assert list(copies.values()) == COUNTS[:7:2]
