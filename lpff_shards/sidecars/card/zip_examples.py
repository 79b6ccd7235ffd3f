"""The trainers' commands for a zip, each of which trains on exactly its samples, and reading it without them."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.schemas.archive import EG3D_SIDES
from lpff_shards.sidecars.card.names import Example, Names, table

_EG3D = "--gamma=1 --gen_pose_cond=True"
_STYLEGAN = "--gamma=10"
_FILES = "\nIt counts every picture file once, and reads no list.\n"
_ALONE = "Without `--camera_sample_mode` it trains on the list `FFHQ` alone.\n"
_NO_FLIP = "Leave `--mirror` off: it flips pictures and leaves their cameras.\n"
_UNWEIGHTED = "It reads no weights: poses stay as the sources have them. The weights are in `samples.jsonl`.\n"
_INSIDE = (
    "\nA zip holds the pictures by number, `dataset.json` with the cameras, and `samples.jsonl` with the fields below, "
    "one line per picture file.\n"
)
_COPIES = "Copies are files beside their picture: `img00000000_01.png` beside `img00000000.png`.\n"
_ONLY_FORKS = (
    "EG3D, StyleGAN2-ada and StyleGAN3 read no lists and would count every picture once, without its copies. For them, "
    "export again with `--zip-copies files`.\n"
)


def examples(names: Names) -> Iterator[Example]:
    """The trainers' commands, and reading the members."""
    if names.camera and names.alignment == "eg3d":
        yield from _eg3d(names)
    yield from _stylegan(names)
    yield Example("Lists for LPFF's forks", "", "", _lists(names))
    yield Example(
        "Python alone",
        f"""import io
import json
from zipfile import ZipFile

from PIL import Image

with ZipFile("{names.files[0]}") as archive:
    labels = dict(json.loads(archive.read("dataset.json"))["labels"] or [])
    for line in archive.read("samples.jsonl").splitlines():
        fields = json.loads(line)
        picture = Image.open(io.BytesIO(archive.read(fields["name"])))
        print(fields["key"], picture.size, labels.get(fields["name"]))
""",
        "python",
        _INSIDE + (_COPIES if names.copied else "") + (_ONLY_FORKS if names.listed else ""),
    )


def _eg3d(names: Names) -> Iterator[Example]:
    if names.side not in EG3D_SIDES:
        sizes = ", ".join(map(str, EG3D_SIDES[:-1]))
        told = f"EG3D's `--cfg=ffhq` takes pictures of {sizes} or {EG3D_SIDES[-1]} pixels, these have {names.side}."
        yield Example("EG3D", "", "", f"{told} Export again with `--resolution {EG3D_SIDES[-1]}`.\n")
        return
    if not names.listed:
        yield Example("EG3D", _train(names, "ffhq", _EG3D), "sh", _FILES + _unweighted(names) + _NO_FLIP)
    fork = f"{_EG3D} {_mode(names)}"
    yield Example("LPFF's fork of EG3D", _train(names, "ffhq", fork), "sh", _list(names) + _ALONE + _NO_FLIP)


def _stylegan(names: Names) -> Iterator[Example]:
    flip = "Add `--mirror=1` to flip at random: the zip holds no mirrors.\n" if names.mirrors else ""
    if not names.listed:
        more = _FILES + _unweighted(names) + flip
        yield Example("StyleGAN2-ada", _train(names, "auto", _STYLEGAN), "sh", more)
        yield Example("StyleGAN3", _train(names, "stylegan3-t", _STYLEGAN), "sh", more)
    fork = f"{_STYLEGAN} {_mode(names)}"
    yield Example("LPFF's fork of StyleGAN2-ada", _train(names, "auto", fork), "sh", _list(names) + flip)


def _mode(names: Names) -> str:
    return f"--camera_sample_mode={names.mode}"


def _list(names: Names) -> str:
    return f"\nIt reads the names in `{names.mode}.json`.\n{_unweighted(names)}"


def _unweighted(names: Names) -> str:
    return _UNWEIGHTED if names.weighted else ""


def _lists(names: Names) -> str:
    """The lists with how many names each has."""
    rows = [(f"`{name}`", f"{count:,}") for name, count in names.lists.items()]
    return (
        f"{table(('`--camera_sample_mode`', 'names, in all splits'), rows)}\nA list `NAME.json` repeats a name as "
        "often as it counts. `NAME_snap_idxs.json` holds the places in it of the 16 pictures that snapshots show.\n"
    )


def _train(names: Names, config: str, more: str) -> str:
    return f"python train.py --outdir=runs --cfg={config} --data={names.files[0]} --gpus=8 --batch=32 {more}"
