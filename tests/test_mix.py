"""The mix as a whole: copies or weights, mirrors, splits and filters together, and what the dry run says of it."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running import call
from sealing import edit_sealed

from lpff_shards import (
    ExportOptions,
    MixOptions,
    RunOptions,
    ShardOptions,
    ShardsError,
    SourceOptions,
    compare_rules,
    export,
    plan_export,
    read_manifest,
    verify_export,
)
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import angle_bins, compare, effective_size, entropy
from lpff_shards.schemas.camera import yaw_pitch

RULES = ("lpff", "eg3d", "uniform")


def _plan(demo: int = 400, mirror: bool | None = None, seed: int | None = None, **mix: Any) -> Plan:
    options = ExportOptions(
        format="wds",
        out="out",
        sources=SourceOptions(demo=demo, mirror=mirror),
        mix=MixOptions(**mix),
        shards=ShardOptions(seed=seed),
    )
    return plan_export(options)


def _pose_bins(plan: Plan) -> NDArray[np.int64]:
    centers, _ = plan.mix.pool.entries.centers()
    return angle_bins(np.degrees(yaw_pitch(centers)))


def _first(key: str) -> str:
    return re.sub(r"_r\d+$", "", key)


def _copies(plan: Plan) -> Counter[str]:
    return Counter(_first(key) for key in plan.keys)


def _weights(plan: Plan) -> dict[str, float]:
    return dict(zip(plan.keys, plan.entries.weight.tolist(), strict=True))


@pytest.mark.parametrize("rule", ["lpff", "eg3d"])
def test_copies_and_weights_are_one_distribution(rule: str) -> None:
    copies, weights = _copies(_plan(rebalance=rule)), _weights(_plan(rebalance=rule, as_="weights"))
    assert copies == weights
    assert len(set(copies.values())) > 2


@pytest.mark.parametrize("more", [{}, {"target_size": 500}, {"target_size": 3000}, {"alpha": 1.0, "max_replicas": 30}])
def test_uniform_copies_are_the_weights_rounded(more: dict[str, Any]) -> None:
    copies = _copies(_plan(rebalance="uniform", **more))
    weights = _weights(_plan(rebalance="uniform", as_="weights", **more))
    assert len(weights) == 800
    for key, weight in weights.items():
        assert abs(copies[key] - weight) < 1 + 1e-3
    assert sum(copies.values()) == pytest.approx(sum(weights.values()), abs=1.1)


def test_uniform_copies_are_the_weights_over_seeds() -> None:
    plan = _plan(demo=60, rebalance="uniform", as_="weights", target_size=150)
    weights, pictures = plan.mix.weights, plan.mix.pool.entries
    seeds = range(400)
    total = np.zeros(len(pictures))
    for seed in seeds:
        copies = plan.mix.pool.copies(weights, seed)
        assert copies.sum() == 150
        total += copies
    # A copy more or less each time: a standard deviation of 1/2 at most, so five of them over 400 seeds.
    assert np.abs(total / len(seeds) - weights).max() < 5 * 0.5 / len(seeds) ** 0.5


def test_uniform_fills_the_poses_more_evenly_than_the_others() -> None:
    plan = _plan(demo=2000, rebalance="uniform")
    bins = _pose_bins(plan)
    found = {rule: entropy(bins, plan.mix.pool.weigh(rule, MixOptions())) for rule in ("none", *RULES)}
    assert found["uniform"] > found["none"] + 0.2
    steeper = plan.mix.pool.weigh("uniform", MixOptions(rebalance="uniform", alpha=1.0, max_replicas=1000))
    assert entropy(bins, steeper) > found["uniform"]
    assert effective_size(steeper) < effective_size(plan.mix.weights)


def test_a_target_size_is_met_exactly() -> None:
    for target in (1, 137, 800, 801, 6400):
        assert _plan(rebalance="uniform", target_size=target).samples == target


def test_what_a_target_size_does_not_draw_is_told() -> None:
    plan = _plan(rebalance="uniform", target_size=300)
    drawn = len(_copies(plan))
    assert plan.mix.filtered == {"samples not drawn for --target-size": 800 - drawn}
    assert drawn < 800


def test_no_picture_is_lost_without_a_target_size() -> None:
    for rule in RULES:
        assert len(_copies(_plan(rebalance=rule))) == 800


def test_copies_are_numbered_and_their_keys_unique() -> None:
    plan = _plan(rebalance="eg3d")
    assert len(set(plan.keys)) == plan.samples > 800
    for key, count in _copies(plan).items():
        wanted = {key, *(f"{key}_r{n:02d}" for n in range(1, count))}
        assert wanted <= set(plan.keys)


def test_copies_are_spread_over_the_shuffle() -> None:
    plan = _plan(rebalance="eg3d")
    firsts = [_first(key) for key in plan.keys]
    beside = sum(a == b for a, b in pairwise(firsts))
    # By chance about one pair in 800 / 5 pictures; side by side it would be half of them.
    assert beside < 0.05 * plan.samples


@pytest.mark.parametrize("rule", ["lpff", "uniform"])
def test_densities_are_those_of_the_set_with_its_mirrors(rule: str) -> None:
    both, originals = _plan(rebalance=rule), _plan(rebalance=rule, mirror=False)
    density = dict(zip(both.keys, both.entries.density.tolist(), strict=True))
    own = zip(map(_first, originals.keys), originals.entries.density.tolist(), strict=True)
    assert all(density[key] == d > 0 for key, d in own)
    assert not any("_m" in key for key in originals.keys)


def test_filters_come_before_densities(tmp_path: Path) -> None:
    kept = _plan(rebalance="lpff", license=("CC0-1.0",))
    file = tmp_path / "gone.txt"
    others = [i for i, c in zip(*_demo_credits(), strict=True) if c != "CC0-1.0"]
    file.write_text("\n".join(others))
    same = _plan(rebalance="lpff", exclude=str(file))
    assert kept.keys == same.keys
    assert kept.entries.density.tolist() == same.entries.density.tolist()
    everything = dict(zip((p := _plan(rebalance="lpff")).keys, p.entries.density.tolist(), strict=True))
    assert any(everything[key] != d for key, d in zip(kept.keys, kept.entries.density.tolist(), strict=True))


def _demo_credits() -> tuple[list[str], list[str]]:
    (inventory,) = _plan().inventories
    return list(inventory.ids), [credit.license.short for credit in inventory.credits]


SPLITS = "train=0.6,val=0.2,test=0.2"


def test_only_the_training_split_is_rebalanced() -> None:
    plan = _plan(rebalance="lpff", splits=SPLITS)
    names = [plan.entries.splits[s] for s in plan.entries.split.tolist()]
    assert Counter(names) == plan.by_split()
    for name, replica, density in zip(names, plan.entries.replica, plan.entries.density, strict=True):
        assert (name == "train") or (replica == 0 and density == 0)
    alone = _plan(splits=SPLITS)
    assert {k for k, n in zip(plan.keys, names, strict=True) if n != "train"} == {
        k for k, s in zip(alone.keys, alone.entries.split.tolist(), strict=True) if s != 0
    }
    trained = [d for n, d in zip(names, plan.entries.density.tolist(), strict=True) if n == "train"]
    assert min(trained) > 0


def test_a_picture_its_mirror_and_its_copies_are_in_one_split() -> None:
    plan = _plan(rebalance="eg3d", splits=SPLITS)
    seen: dict[str, set[int]] = {}
    for entry, split in zip(plan.entries.row.tolist(), plan.entries.split.tolist(), strict=True):
        seen.setdefault(entry, set()).add(split)
    assert all(len(found) == 1 for found in seen.values())


def _samples(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Shard name and fields of every sample, as tarfile reads them."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".json"):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield path.name, json.load(io.TextIOWrapper(file))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rebalanced by weights, in three splits."""
    out = tmp_path_factory.mktemp("mix") / "shards"
    options = ExportOptions(
        format="wds",
        out=str(out),
        sources=SourceOptions(demo=60),
        mix=MixOptions(rebalance="lpff", as_="weights", splits=SPLITS, license=("CC0-1.0", "PDM-1.0", "CC-BY-2.0")),
        shards=ShardOptions(samples_per_shard=20),
        run=RunOptions(workers=2),
    )
    export(options)
    return out


def test_each_split_has_shards_of_its_own(shards: Path) -> None:
    manifest = read_manifest(shards)
    assert set(manifest.splits) == {"train", "val", "test"}
    for split, count in manifest.splits.items():
        own = [shard for shard in manifest.shards if shard.split == split]
        assert [shard.file for shard in own] == [f"demo_weighted_lpff-{split}-{n:06d}.tar" for n in range(len(own))]
        assert sum(shard.samples for shard in own) == count
    for name, fields in _samples(shards):
        assert f"-{fields['split']}-" in name
    assert verify_export(shards).ok


def test_weights_density_and_pose_are_in_each_sample(shards: Path) -> None:
    trained = [fields for _, fields in _samples(shards) if fields["split"] == "train"]
    assert {fields["replica"] for fields in trained} == {0}
    for fields in trained:
        f = fields["density"]
        wanted = 6 if f < 0.02 else 5 if f < 0.03 else min(max(round(0.24 / f), 1), 4)
        assert (fields["weight"], f > 0) == (wanted, True)
        assert (fields["yaw"], fields["pitch"]) != (0, 0)
    others = [fields for _, fields in _samples(shards) if fields["split"] != "train"]
    assert {(fields["weight"], fields["density"]) for fields in others} == {(1, 0)}


def test_the_manifest_tells_what_was_filtered(shards: Path) -> None:
    manifest = read_manifest(shards)
    assert manifest.filtered.keys() == {"license CC-BY-SA-2.0"}
    assert sum(manifest.filtered.values()) + manifest.samples / 2 == 60
    assert f"- license CC-BY-SA-2.0: {manifest.filtered['license CC-BY-SA-2.0']}\n" in _card(shards)


def _card(shards: Path) -> str:
    return (shards / "README.md").read_text()


def test_the_card_lists_the_splits(shards: Path) -> None:
    for split in ("train", "val", "test"):
        assert f'  - split: {split}\n    path: "demo_weighted_lpff-{split}-*.tar"' in _card(shards)


def test_verify_knows_each_split(shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in shards.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    (copy / "demo_weighted_lpff-val-000007.tar").write_bytes(b"")
    (fault,) = verify_export(copy).faults
    assert fault.shard == "demo_weighted_lpff-val-000007.tar"
    (copy / "demo_weighted_lpff-val-000007.tar").unlink()
    edit_sealed(copy / "manifest.json", lambda manifest: manifest["shards"][0].update(split="val"))
    assert any("holds samples of split train, the manifest says val" in f.reason for f in verify_export(copy).faults)


def test_records_are_numbered_in_each_split(tmp_path: Path) -> None:
    options = ExportOptions(
        format="tfrecord",
        out=str(tmp_path / "out"),
        sources=SourceOptions(demo=40, mirror=False),
        mix=MixOptions(splits="train=0.5,val=0.5"),
        shards=ShardOptions(shards=5),
    )
    files = [shard.file for shard in export(options).shards]
    assert len(files) == 5
    for split in ("train", "val"):
        own = [file for file in files if f"-{split}." in file]
        assert own == [f"demo-{split}.tfrecord-{n:05d}-of-{len(own):05d}" for n in range(len(own))]


def test_the_dry_run_compares_the_rules(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    args = ("export", "--format", "wds", "--demo", 200, "--out", tmp_path / "x", "--rebalance", "lpff", "--dry-run")
    text = call(capsys, monkeypatch, *args).out
    plan = _plan(demo=200, rebalance="lpff")
    found = json.loads(call(capsys, monkeypatch, *args, "--json").out)["balance"]
    assert [rule["rule"] for rule in found["rules"]] == ["none", "lpff", "eg3d", "uniform"]
    for rule in found["rules"]:
        samples = _plan(demo=200, rebalance=rule["rule"]).samples
        assert rule["samples"] == pytest.approx(samples, abs=1)
        mark = "*" if rule["rule"] == "lpff" else " "
        facts = f"{rule['samples']:>11,} samples, {rule['effective']:>11,.0f} effective, {rule['entropy']:.2f} bits"
        assert f"  {mark} {rule['rule']:7} {facts}\n" in text
    assert found["chosen"] == found["rules"][1]
    assert found["chosen"]["entropy"] == pytest.approx(entropy(_pose_bins(plan), plan.mix.weights))
    assert found["chosen"]["effective"] == pytest.approx(effective_size(plan.mix.weights))
    assert found["bins"] == len(np.unique(_pose_bins(plan)))


def test_the_dry_run_says_why_a_rule_does_not_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    args = ("export", "--format", "wds", "--demo", 1, "--no-mirror", "--out", tmp_path / "x", "--dry-run")
    done = call(capsys, monkeypatch, *args)
    assert done.status == 0
    assert "    lpff    a pose density needs three cameras or more, not 2\n" in done.out
    refused = call(capsys, monkeypatch, *args, "--rebalance", "lpff")
    assert (refused.status, refused.out) == (2, "")
    assert "a pose density needs three cameras or more, not 2. Use --rebalance none" in refused.err


def test_without_cameras_there_is_nothing_to_compare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dataset_factories import write_ffhq_stylegan

    root = write_ffhq_stylegan(tmp_path / "ffhq")
    args = ("--ffhq", root, "--alignment", "stylegan", "--out", tmp_path / "x", "--dry-run")
    done = call(capsys, monkeypatch, "export", "--format", "wds", *args)
    assert (done.status, "entropy" in done.out) == (0, False)


def test_computed_arcs_are_told() -> None:
    assert any("replicas were computed from the cameras" in note for note in _plan(rebalance="eg3d").notes)


def test_an_empty_split_is_told() -> None:
    plan = _plan(demo=2, splits="train=0.5,val=0.00001,test=0.49999")
    assert any("no picture falls into val" in note for note in plan.notes)
    assert "val" not in plan.by_split()


def test_fewer_shards_than_splits_are_refused() -> None:
    options = ExportOptions(
        format="wds",
        out="out",
        sources=SourceOptions(demo=100),
        mix=MixOptions(splits=SPLITS),
        shards=ShardOptions(shards=2),
    )
    with pytest.raises(ShardsError, match="--shards 2 is less than the 3 splits"):
        plan_export(options)


def test_an_empty_exclude_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gone.txt"
    file.write_text("# nothing yet\n")
    assert any(f"--exclude {file} names nothing" in note for note in _plan(exclude=str(file)).notes)


def test_pictures_without_an_author_are_told(tmp_path: Path) -> None:
    from dataset_factories import write_ffhq_eg3d

    root = write_ffhq_eg3d(tmp_path / "ffhq")
    options = ExportOptions(
        format="wds", out="x", sources=SourceOptions(ffhq=str(root)), mix=MixOptions(splits="train=0.5,val=0.5")
    )
    said = "--splits: the author of 3 pictures is not known, for 3 of them not even the photo"
    assert any(said in note for note in plan_export(options).notes)
    assert not any("is not known" in note for note in _plan(splits=SPLITS).notes)


def test_the_rules_can_be_compared_from_python() -> None:
    options = ExportOptions(
        format="wds", out="x", sources=SourceOptions(demo=100), mix=MixOptions(rebalance="uniform", alpha=0.0)
    )
    found = compare_rules(plan_export(options), options)
    assert found is not None
    assert (found.chosen.samples, found.chosen.effective) == (200, pytest.approx(200))
    assert found.chosen.entropy == found.rules[0].entropy


def test_nothing_in_training_cannot_be_rebalanced() -> None:
    with pytest.raises(ShardsError, match="no picture of the split train has a camera"):
        _plan(demo=2, rebalance="eg3d", splits="train=0.000001,val=0.999999")


def test_pictures_without_a_camera_are_told_how_they_count(tmp_path: Path) -> None:
    from dataset_factories import write_lpff

    root = write_lpff(tmp_path / "lpff", alignments=["stylegan"])
    (root / "camera_parameters.json").unlink()
    sources = SourceOptions(lpff=str(root), demo=10, alignment="stylegan")

    def plan(**mix: Any) -> Plan:
        return plan_export(ExportOptions(format="wds", out="x", sources=sources, mix=MixOptions(as_="weights", **mix)))

    for rule, said in (("lpff", "count once"), ("eg3d", "count once"), ("uniform", "count as the commonest pose does")):
        found = plan(rebalance=rule)
        assert any(f"3 pictures have no camera and {said}" in note for note in found.notes)
    scaled = plan(rebalance="uniform", target_size=5)
    weights = [w for key, w in _weights(scaled).items() if key.startswith("lpff")]
    assert set(weights) == {min(_weights(scaled).values())}


def test_without_any_camera_there_is_no_rebalancing(tmp_path: Path) -> None:
    from dataset_factories import write_lpff

    root = write_lpff(tmp_path / "lpff", alignments=["stylegan"])
    (root / "camera_parameters.json").unlink()
    sources = SourceOptions(lpff=str(root), alignment="stylegan")
    for rule in RULES:
        with pytest.raises(ShardsError, match="no picture of the split train has a camera"):
            plan_export(ExportOptions(format="wds", out="x", sources=sources, mix=MixOptions(rebalance=rule)))


def test_the_chosen_line_is_what_is_written() -> None:
    for seed in range(5):
        plan = _plan(demo=30, seed=seed, rebalance="uniform", target_size=333)
        found = compare(plan.mix.pool, plan.mix.weights, MixOptions(rebalance="uniform", target_size=333), seed)
        assert found is not None
        copies = np.array(list(_copies(plan).values()), float)
        assert (found.chosen.samples, found.chosen.effective) == (333, pytest.approx(effective_size(copies)))


def test_the_card_says_how_pictures_count(shards: Path) -> None:
    assert "Poses: the split train is rebalanced by the rule `lpff` (rare poses count more" in _card(shards)
    assert "in LPFF's paper), each picture once, with how often it counts in `weight`" in _card(shards)


def test_a_refusal_names_the_files_whose_contents_may_differ(tmp_path: Path) -> None:
    file = tmp_path / "gone.txt"

    def run() -> None:
        mix = MixOptions(exclude=str(file))
        options = ExportOptions(format="wds", out=str(tmp_path / "out"), sources=SourceOptions(demo=3), mix=mix)
        export(options)

    file.write_text("nobody\n")
    run()
    file.write_text("00000001\n")
    with pytest.raises(ShardsError, match="changed: the contents of the sources or --exclude"):
        run()
