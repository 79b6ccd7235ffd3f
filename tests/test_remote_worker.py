"""Writing shards on other machines: one that does not see the output or the sources is told, before it writes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from dataset_factories import write_lpff

from lpff_shards import ExportOptions, RunOptions, ShardsError, SourceOptions, api, executors
from lpff_shards.executors import get_executor
from lpff_shards.executors.processes import LocalExecutor
from lpff_shards.executors.ray import RayExecutor
from lpff_shards.exporters import shard as shards
from lpff_shards.exporters.record_options import recorded
from lpff_shards.sidecars.folder import OutputFolder


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportOptions:
    monkeypatch.setattr(shards, "PATIENCE", 0.0)
    lpff = write_lpff(tmp_path / "lpff", ["1@N01_501_01"], ["eg3d"])
    return ExportOptions(format="wds", out=str(tmp_path / "out"), sources=SourceOptions(lpff=str(lpff)))


def _write(options: ExportOptions, digest: str = "", sources: tuple[str, ...] = ()) -> None:
    plan = api.plan_export(options)
    seen = (digest or plan.digest, sources or options.sources.on_disk)
    shards.write_shard_elsewhere(Path(options.out), *seen, plan.task(0), lambda _: None)


def test_a_machine_that_sees_all_writes_the_same(options: ExportOptions) -> None:
    manifest = api.export(options)
    shard = Path(options.out) / manifest.shards[0].file
    before = shard.read_bytes()
    shard.unlink()
    _write(options)
    assert shard.read_bytes() == before


def test_a_machine_that_does_not_see_the_output_is_told(options: ExportOptions) -> None:
    with pytest.raises(ShardsError, match=r"the node \S+ has no access to the export in \S+out\. Every node needs"):
        _write(options)
    # A folder of the same name that is its own, of another export.
    api.export(options)
    with pytest.raises(ShardsError, match="has no access to the export in"):
        _write(options, digest="another")


@pytest.mark.parametrize("there", [False, True])
def test_a_machine_that_does_not_see_the_pictures_leaves_none_out(options: ExportOptions, there: bool) -> None:
    api.export(options)
    mount = Path(options.out).parent / "mount"
    if there:
        mount.mkdir()
    with pytest.raises(ShardsError, match=r"has no access to \S+/mount"):
        _write(options, sources=(str(mount),))


def test_what_another_machine_writes_a_moment_ago_is_waited_for(
    options: ExportOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "PATIENCE", 1.0)
    owners = iter([None, OutputFolder.owner])
    api.export(options)
    folder = OutputFolder(Path(options.out))
    owner = folder.owner()
    assert owner is not None
    monkeypatch.setattr(OutputFolder, "owner", lambda _: owner if next(owners) else None)
    shards.refuse_unseen(folder, owner.plan, ())
    assert next(owners, "asked twice") == "asked twice"


def test_the_engine_leaves_no_trace_in_what_is_recorded() -> None:
    made = partial(ExportOptions, format="wds", out="x", sources=SourceOptions(demo=1))
    on_ray = made(run=RunOptions(engine="ray", ray_address="10.0.0.1:6379", workers=2000))
    assert recorded(on_ray) == recorded(made())


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head.example.org:6379", "[fe80::1]:6379"])
def test_addresses(address: str) -> None:
    assert RunOptions(engine="ray", ray_address=address).ray_address == address


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"engine": "slurm"}, "--engine 'slurm' is not known"),
        ({"ray_address": "auto"}, "--ray-address has no effect without --engine ray"),
        ({"engine": "ray", "ray_address": "head"}, "--ray-address 'head' is no address"),
        ({"engine": "ray", "ray_address": ""}, "--ray-address '' is no address"),
        ({"engine": "ray", "ray_address": "ray://head:10001"}, "is for Ray's client"),
        ({"engine": "ray", "workers": 10_001}, "--workers 10001 is out of range"),
        ({"workers": 513}, "--workers 513 is out of range"),
    ],
)
def test_what_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ShardsError, match=says):
        RunOptions(**given)  # type: ignore[arg-type]


def test_an_engine_is_chosen_and_what_it_lacks_is_told_before_planning(
    options: ExportOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_executor(RunOptions(workers=3), fork=True) == LocalExecutor(3, True)
    monkeypatch.setattr(executors, "find_spec", lambda _: "there")
    assert get_executor(RunOptions(engine="ray"), fork=True) == RayExecutor(None, None)
    monkeypatch.setattr(executors, "find_spec", lambda _: None)
    monkeypatch.setattr(api, "plan_export", lambda _: pytest.fail("planned"))
    with pytest.raises(ShardsError, match=r"pip install \"lpff-shards\[ray\]\""):
        api.export(ExportOptions(format="wds", out="x", sources=options.sources, run=RunOptions(engine="ray")))
