"""A data set of the user's own with files of every kind of channel, and what a sample must hold of each."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dataset_factories import picture
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.formats import channels as kinds
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.sources.demo import look_at
from lpff_shards.storage.path import read_whole

SIDE = 48
IDS = tuple(f"{folder}/{number:02d}" for folder in ("a", "b") for number in range(4))
PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]
GIVEN = {
    "mask": "masks",
    "part": "parts.zip",
    "caption": "captions.jsonl",
    "latent": "latents,flip-last-axis",
    "flame": "flame,same",
    "own": "own",
    "years": "rows.csv,optional",
}
"""The values of --channel by name, relative to the folder of `write`."""
LACKS_ROW = IDS[-1]


def options(root: Path, *names: str) -> tuple[str, ...]:
    """The values of --channel, all or some."""
    return tuple(f"{name}={root / GIVEN[name]}" for name in names or GIVEN)


def write(root: Path) -> Path:
    """Write pictures and the files of channels; return the folder of the pictures."""
    for number, id in enumerate(IDS):
        for folder, suffix in (
            ("pictures", "png"),
            ("masks", "png"),
            ("latents", "npy"),
            ("flame", "npz"),
            ("own", "npy"),
        ):
            (root / folder / id).parent.mkdir(parents=True, exist_ok=True)
            path, wanted = root / folder / f"{id}.{suffix}", files(id)
            if folder == "pictures":
                path.write_bytes(picture(id, SIDE))
            elif folder == "masks":
                Image.fromarray(wanted["mask"]).save(path)
            elif folder == "latents":
                np.save(path, wanted["latent"])
            elif folder == "flame":
                np.savez(path, **wanted["flame"])
            else:
                np.save(path, wanted["own"])
                np.save(path.with_name(f"{path.stem}_mirror.npy"), -wanted["own"])
        del number
    import zipfile

    with zipfile.ZipFile(root / "parts.zip", "w") as archive:
        for id in IDS:
            image, out = Image.fromarray(files(id)["part"], "P"), io.BytesIO()
            image.putpalette(PALETTE)
            image.save(out, "PNG")
            archive.writestr(f"heads/{id}.png", out.getvalue())
    lines = [json.dumps({"file_name": f"{id}.png", "text": files(id)["caption"]}) for id in IDS]
    (root / "captions.jsonl").write_text("\n".join(lines))
    with (root / "rows.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, ["id", "age", "note"])
        rows.writeheader()
        rows.writerows({"id": id, **files(id)["years"]} for id in IDS if id != LACKS_ROW)
    return root / "pictures"


def write_cameras(pictures: Path) -> None:
    """Write cameras so far apart that --rebalance makes copies."""
    poses = {id: look_at(0.3 * number, 0.7 * (-1) ** number) for number, id in enumerate(IDS)}
    labels = [[f"{id}.png", pose.tolist()] for id, pose in poses.items()]
    (pictures / "dataset.json").write_text(json.dumps({"labels": labels}))


def files(id: str) -> dict[str, Any]:
    """What the files of a picture contain."""
    rng = np.random.default_rng(IDS.index(id))
    return {
        "mask": rng.integers(0, 256, (SIDE, SIDE), np.uint8),
        "part": rng.integers(0, 4, (SIDE, SIDE), np.uint8),
        "caption": f"a face, number {id} \N{SNOWMAN}",
        "latent": rng.normal(size=(3, 5)).astype(np.float16),
        "flame": {"expr": rng.normal(size=10).astype(np.float32), "jaw": rng.integers(0, 9, (2, 3))},
        "own": rng.normal(size=4),
        "years": {"age": IDS.index(id) + 20, "note": f"x{id}"},
    }


@dataclass(frozen=True)
class Shown:
    """A sample: its picture's id, whether it is mirrored, its picture's side."""

    id: str
    mirrored: bool
    side: int


def expected(sample: Shown) -> dict[str, Any]:
    """What a sample must hold, worked out here: nearest neighbors, then the flip."""
    found, at = files(sample.id), ((np.arange(sample.side) + 0.5) * SIDE / sample.side).astype(int)
    for name in ("mask", "part"):
        resized: NDArray[np.uint8] = found[name][at][:, at]
        found[name] = resized[:, ::-1] if sample.mirrored else resized
    if sample.mirrored:
        found["latent"], found["own"] = found["latent"][:, ::-1], -found["own"]
    if sample.id == LACKS_ROW:
        found["years"] = {}
    return {**found, "has_years": sample.id != LACKS_ROW}


def check(found: dict[str, Any], sample: Shown, names: tuple[str, ...] = (*GIVEN, "has_years")) -> None:
    """Compare what was read with what must be there; arrays by dtype too."""
    wanted = expected(sample)
    for name in names:
        parts = wanted[name] if isinstance(wanted[name], dict) else {"": wanted[name]}
        got = found[name] if isinstance(wanted[name], dict) else {"": found[name]}
        assert set(got) == set(parts), (name, sample)
        for part, value in parts.items():
            one = np.asarray(got[part]) if isinstance(value, np.ndarray) else got[part]
            if isinstance(value, np.ndarray):
                assert (one.dtype, one.shape) == (value.dtype, value.shape), (name, part, sample)
                assert np.array_equal(one, value), (name, part, sample)
            else:
                assert one == value, (name, part, sample)


def export_options(root: Path, format: str, out: Path, channels: tuple[str, ...], **given: Any) -> ExportOptions:
    sources = SourceOptions(dataset=(f"heads={root / 'pictures'}",), channel=channels, mirror=given.pop("mirror", True))
    return ExportOptions(format=format, sources=sources, out=str(out), **given)


def samples(folder: Path, manifest: Manifest) -> list[tuple[str, dict[str, Any]]]:
    """The key and the contents of the channels of each sample of an export, by the format's own reader."""
    found, format = [], get_format(manifest.format)
    for shard in manifest.shards:
        for sample in format.samples(read_whole(folder / shard.file), manifest.layout):
            files = {c.name: kinds.decode(c, sample.channels[c.name]) for c in manifest.layout.channels or ()}
            found.append((sample.key, {**sample.scalars, **files}))
    return found


def shown(sample: dict[str, Any]) -> Shown:
    return Shown(sample["source_id"], sample["mirrored"], sample["width"])
