"""The five published sets at full size, in both alignments: counts, order and replicas."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from dataset_factories import mirrored
from msgspec.json import decode, encode
from PIL import Image
from running import DATA

from lpff_shards import ExportOptions, MixOptions, ShardOptions, SourceOptions, plan_export
from lpff_shards.planning.plan import Plan
from lpff_shards.sources.demo import look_at

FFHQ_PHOTOS = 70_000
# EG3D found no face in 43 photos; which ones does not matter here.
WITHOUT_FACE = frozenset(range(17, 17 + 43 * 1601, 1601))
LPFF_PICTURES = 19_590
REBALANCED = 245_862


@dataclass(frozen=True)
class Published:
    """The generated archives."""

    ffhq_eg3d: Path
    ffhq_stylegan: Path
    cameras: Path
    lpff: Path
    lpff_ids: tuple[str, ...]

    def plan(self, alignment: str, *sources: str, **mix: object) -> Plan:
        ffhq = self.ffhq_eg3d if alignment == "eg3d" else self.ffhq_stylegan
        given: dict[str, object] = {"alignment": alignment}
        given |= {"ffhq": str(ffhq), "ffhq_cameras": str(self.cameras)} if "ffhq" in sources else {}
        given |= {"lpff": str(self.lpff)} if "lpff" in sources else {}
        options = ExportOptions(
            format="wds",
            out="out",
            sources=SourceOptions(**given),
            mix=MixOptions(**mix),
            shards=ShardOptions(shuffle=False),
        )
        return plan_export(options)


def _archive(path: Path, names: Iterable[str], tables: Mapping[str, object]) -> Path:
    """A zip of 8x8 pictures, all the same, and JSON files."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), picture.getvalue())
        for name, table in tables.items():
            archive.writestr(name, encode(table))
    return path


def _lpff_ids() -> list[str]:
    """Ids in no particular order, some of them faces of one photo."""
    draw = random.Random(1)
    photos = [f"{draw.randrange(10**7, 10**9)}@N0{n % 10}_{draw.randrange(10**9, 10**11)}" for n in range(17_455)]
    ids = [f"{photo}_01" for photo in photos] + [f"{photo}_02" for photo in photos[: LPFF_PICTURES - len(photos)]]
    draw.shuffle(ids)
    return ids


def _poses(count: int, yaw: float, pitch: float, seed: int) -> Iterator[list[float]]:
    """Cameras whose yaw and pitch spread by that much; a few thousand of them, in any order."""
    draw = np.random.default_rng(seed)
    drawn = zip(draw.normal(0, yaw, 3000), draw.normal(0, pitch, 3000), strict=True)
    some = [look_at(float(np.clip(y, -1.5, 1.5)), float(np.clip(p, -0.8, 0.8))).tolist() for y, p in drawn]
    yield from (some[n] for n in draw.integers(len(some), size=count))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    root = tmp_path_factory.mktemp("published")
    photos = [n for n in range(FFHQ_PHOTOS) if n not in WITHOUT_FACE]
    labels: list[list[object]] = []
    for photo, numbers in zip(photos, _poses(len(photos), 0.25, 0.12, 2), strict=True):
        labels += [[f"{photo:05d}.png", numbers], [f"{photo:05d}_mirror.png", mirrored(numbers)]]
    # The labels' order is nothing to rely on.
    random.Random(3).shuffle(labels)
    cameras = root / "dataset.json"
    cameras.write_bytes(encode({"labels": labels}))
    ids = _lpff_ids()
    crops = (f"crop/{alignment}/{id}.png" for alignment in ("eg3d", "stylegan") for id in ids)
    tables = {"camera_parameters.json": dict(zip(ids, _poses(len(ids), 0.7, 0.3, 4), strict=True))}
    thousands = (f"images1024x1024/{n // 1000 * 1000:05d}/{n:05d}.png" for n in range(FFHQ_PHOTOS))
    return Published(
        ffhq_eg3d=_archive(root / "FFHQ_512.zip", (str(name) for name, _ in labels), {}),
        ffhq_stylegan=_archive(root / "FFHQ_1024.zip", thousands, {}),
        cameras=cameras,
        lpff=_archive(root / "LPFF.zip", crops, tables),
        lpff_ids=tuple(sorted(ids)),
    )


@pytest.fixture(scope="module")
def rebalanced(published: Published) -> Plan:
    return published.plan("eg3d", "ffhq", "lpff", rebalance="lpff")


def _ffhq_keys() -> list[str]:
    photos = (n for n in range(FFHQ_PHOTOS) if n not in WITHOUT_FACE)
    return [f"ffhq_{n:05d}{mirror}" for n in photos for mirror in ("", "_m")]


def _lpff_keys(published: Published, *mirrors: str) -> list[str]:
    return [f"lpff_{id.replace('@', '-')}{mirror}" for id in published.lpff_ids for mirror in mirrors]


def test_ffhq_and_lpff_aligned_for_eg3d(published: Published) -> None:
    plan = published.plan("eg3d", "ffhq", "lpff")
    assert (plan.name, plan.by_source()) == ("ffhq_lpff", {"ffhq": 139_914, "lpff": 39_180})
    assert plan.samples == 179_094
    assert plan.keys == _ffhq_keys() + _lpff_keys(published, "", "_m")


def test_lpff_aligned_for_eg3d(published: Published) -> None:
    plan = published.plan("eg3d", "lpff")
    assert (plan.name, plan.samples) == ("lpff", 39_180)
    assert plan.keys == _lpff_keys(published, "", "_m")


def _replicated(counts: Mapping[str, int]) -> Iterator[str]:
    """FFHQ's keys, each with its replicas."""
    for index, key in enumerate(_ffhq_keys()):
        yield from (f"{key}_r{n:02d}" if n else key for n in range(counts[str(index)]))


@pytest.fixture(scope="module")
def replica_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EG3D's file where it is at hand, else one of its size and sum."""
    real = DATA / "FFHQ_num_replicas.json"
    if real.is_file():
        return real
    counts = dict.fromkeys(map(str, range(139_914)), 1)
    for step in range(REBALANCED - len(counts)):
        counts[str(step * 7919 % len(counts))] += 1
    made = tmp_path_factory.mktemp("replicas") / "num_replicas.json"
    made.write_bytes(encode(counts))
    return made


def test_ffhq_rebalanced_by_a_file(published: Published, replica_file: Path) -> None:
    plan = published.plan("eg3d", "ffhq", rebalance="eg3d", num_replicas=str(replica_file))
    assert (plan.name, plan.samples) == ("ffhq_rebalanced", REBALANCED)
    assert plan.keys == list(_replicated(decode(replica_file.read_bytes())))


def _copies(plan: Plan, source: str) -> dict[str, int]:
    """Key of each first copy to its number of copies."""
    counts: dict[str, int] = {}
    for key in plan.keys:
        if key.startswith(source):
            first = key.partition("_r")[0]
            counts[first] = counts.get(first, 0) + 1
    return counts


def test_both_rebalanced_by_density(published: Published, rebalanced: Plan) -> None:
    assert rebalanced.name == "ffhq_lpff_rebalanced"
    copies = _copies(rebalanced, "ffhq") | _copies(rebalanced, "lpff")
    assert list(copies) == _ffhq_keys() + _lpff_keys(published, "", "_m")
    assert set(copies.values()) == {1, 2, 3, 4, 5, 6}
    centers, known = rebalanced.mix.pool.entries.centers()
    assert (len(known), known.all()) == (179_094, True)
    counts = np.array(list(copies.values()))
    chosen = np.random.default_rng(5).choice(179_094, 150, replace=False)
    assert counts[chosen].tolist() == _by_scipy(centers, chosen)


def _by_scipy(centers: np.ndarray, chosen: np.ndarray) -> list[int]:
    """The rule of the paper, spelled out once more, for some of the pictures."""
    from scipy.stats import gaussian_kde

    x, y, z = centers.T
    points = np.stack([np.arctan2(np.hypot(y, z), x), np.arctan2(z, y)])
    density = gaussian_kde(points)(points[:, chosen])
    return [6 if f < 0.02 else 5 if f < 0.03 else min(max(round(0.24 / f), 1), 4) for f in density.tolist()]


@pytest.mark.parametrize(
    ("sources", "counts"),
    [
        (("ffhq",), {"ffhq": 70_000}),
        (("lpff",), {"lpff": 19_590}),
        (("ffhq", "lpff"), {"ffhq": 70_000, "lpff": 19_590}),
    ],
)
def test_sets_aligned_for_stylegan(published: Published, sources: tuple[str, ...], counts: dict[str, int]) -> None:
    plan = published.plan("stylegan", *sources)
    assert (plan.name, plan.by_source()) == ("_".join(sources), counts)
    ffhq = [f"ffhq_{n:05d}" for n in range(FFHQ_PHOTOS)] if "ffhq" in sources else []
    assert plan.keys == ffhq + (_lpff_keys(published, "") if "lpff" in sources else [])


def test_both_rebalanced_aligned_for_stylegan(published: Published, rebalanced: Plan) -> None:
    plan = published.plan("stylegan", "ffhq", "lpff", rebalance="lpff")
    assert plan.name == "ffhq_lpff_rebalanced"
    assert plan.keys[:70_000] == [f"ffhq_{n:05d}" for n in range(FFHQ_PHOTOS)]
    of_originals = {key: n for key, n in _copies(rebalanced, "lpff").items() if not key.endswith("_m")}
    assert _copies(plan, "lpff") == of_originals
    assert any("43 pictures have no camera" in note for note in plan.notes)


def test_lpffs_copies_are_the_same_by_cameras_whose_pictures_cannot_be_told(
    published: Published, rebalanced: Plan, tmp_path: Path
) -> None:
    """The cameras as LPFF publishes them: numbered by position in the order of EG3D's names."""
    labels = sorted(decode(published.cameras.read_bytes())["labels"])
    by_position = [[f"{n // 1000:05d}/img{n:08d}.png", numbers] for n, (_, numbers) in enumerate(labels)]
    cameras = tmp_path / "dataset-ffhq.json"
    cameras.write_bytes(encode({"labels": by_position}))
    plan = replace(published, cameras=cameras).plan("stylegan", "ffhq", "lpff", rebalance="lpff")
    assert plan.keys[:70_000] == [f"ffhq_{n:05d}" for n in range(FFHQ_PHOTOS)]
    of_originals = {key: n for key, n in _copies(rebalanced, "lpff").items() if not key.endswith("_m")}
    assert _copies(plan, "lpff") == of_originals
    assert any("counts all 139914 cameras" in note for note in plan.notes)
    assert any("70000 pictures have no camera and count once" in note for note in plan.notes)
