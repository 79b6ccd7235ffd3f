"""The data-set card: a head that the Hugging Face hub reads, and what it says of any data set."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import write_lpff
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
    read_manifest,
)
from lpff_shards.manifest import Counts, Manifest
from lpff_shards.schemas.archive import EG3D_SIDES
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.schemas.record import Tombstone
from lpff_shards.schemas.text import markdown
from lpff_shards.sidecars.card import card, size_category
from lpff_shards.sidecars.template import fenced, render

HOSTILE = '---\n```\n# "x": |<b>`*_[y](z)'
FENCED = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
SECTIONS = ["What is inside", "How it was made", "Loading", "Fields", "Poses"]
OWNERS = ["Licenses of the photos", "Terms of the data sets"]


def _options(out: Path, format: str = "wds", **more: Any) -> ExportOptions:
    given: dict[str, Any] = {
        "sources": SourceOptions(demo=4),
        "picture": PictureOptions(resolution=16),
        "run": RunOptions(workers=1),
    }
    return ExportOptions(format=format, out=str(out), **given | more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The manifest of some export."""
    return export(_options(tmp_path_factory.mktemp("made"), shards=ShardOptions(shards=2)))


def _with(manifest: Manifest, **options: Any) -> Manifest:
    return structs.replace(manifest, options={**manifest.options, **options})


def _parts(text: str) -> tuple[dict[str, Any], str]:
    """The head as the hub reads it, and the text below it."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, which reads the head, is not installed here")
    match = re.match(r"---\n(.*?)^---\n", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return yaml.safe_load(match[1]), text[match.end() :]


def _sections(text: str) -> list[str]:
    """The headings of a card, what stands in code left out."""
    return re.findall(r"^## (.*)$", FENCED.sub("", text), re.MULTILINE)


def test_the_head_is_a_data_set_card_s(made: Manifest) -> None:
    head, _ = _parts(card(made, {"png"}))
    assert head["pretty_name"] == "demo"
    assert (head["license"], head["license_name"]) == ("other", "demo-terms")
    assert head["task_categories"] == ["unconditional-image-generation", "image-to-3d"]
    assert head["size_categories"] == ["n<1K"]
    assert {"webdataset", "camera-poses", "landmarks", "demo"} <= set(head["tags"])
    files = [{"split": "train", "path": "demo-train-*.tar"}]
    assert head["configs"] == [{"config_name": "default", "data_files": files}]


@pytest.mark.parametrize("format", ["wds", "tfrecord", "zip"])
def test_the_hub_s_own_library_reads_it(made: Manifest, format: str) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed here")
    text = card(structs.replace(made, format=format, sources={"lpff": 5, "unsplash_pexels": 3}), {"png"})
    read = hub.DatasetCard(text)
    assert isinstance(read.data, hub.DatasetCardData)
    assert read.data.license_name == "lpff-and-unsplash-pexels-terms"
    assert read.data.license_link == "https://github.com/oneThousand1000/LPFF-dataset"
    # Named by names that the hub knows: none is left to what its library takes for something else.
    assert hub.DatasetCardData(**read.data.to_dict()).to_dict() == read.data.to_dict()
    assert ("configs" in read.data.to_dict()) == (format != "zip")


@pytest.mark.parametrize(
    ("samples", "category"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (39_180, "10K<n<100K"),
        (179_094, "100K<n<1M"),
        (10**6, "1M<n<10M"),
        (999_999_999_999, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_sizes_are_the_hub_s(samples: int, category: str) -> None:
    assert size_category(samples) == category


def test_every_section_is_there(made: Manifest) -> None:
    text = card(made, {"png"})
    assert _sections(text) == [*SECTIONS, *OWNERS]
    assert "lpff-shards export --format wds --demo 4 --resolution 16 --shards 2 --out demo\n" in text
    assert made.plan in text
    assert made.generator in text
    assert "](poses.png)" in text
    for field in FIELDS:
        assert f"| `{field.name}` | " in text
    for row in ("| `camera.npy` | float32 | 25 |", "| `landmarks.npy` | float32 | 68 x 2 | pixels |"):
        assert row in text
    assert "| `yaw` | float32 |  | radians |" in text


def test_a_real_export_with_hostile_names_keeps_its_head(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / HOSTILE.replace("/", ""), alignments=["eg3d"])
    exclude = tmp_path / "gone```\n---\nlicense: mit\n## Poses"
    exclude.write_text("nobody\n")
    out = tmp_path / "out"
    export(_options(out, sources=SourceOptions(lpff=str(root)), mix=MixOptions(exclude=str(exclude))))
    head, body = _parts((out / "README.md").read_text())
    assert head["license"] == "other"
    assert head["license_name"] == "lpff-terms"
    assert _sections(body) == [*SECTIONS, "Notes", *OWNERS, "Citation"]
    assert "@inproceedings{Wu_2023_ICCV," in body
    assert "@inproceedings{Chan_2022_CVPR," in body
    assert "Karras_2019" not in body


TEMPLATE = """first
%if one
one $name
%if !two other
not two
%else
two
%end
%else
none
%if other
never with one
%end
%end
last
"""


@pytest.mark.parametrize(
    ("true", "kept"),
    [
        ({"one", "other"}, ["one $x %if", "not two"]),
        ({"one"}, ["one $x %if", "two"]),
        ({"one", "two", "other"}, ["one $x %if", "two"]),
        ({"other"}, ["none", "never with one"]),
        (set(), ["none"]),
    ],
)
def test_a_template_keeps_what_its_conditions_say(true: set[str], kept: list[str]) -> None:
    values = {name: name in true for name in ("one", "two", "other")}
    assert render(TEMPLATE, {**values, "name": "$x %if"}).splitlines() == ["first", *kept, "last"]


@pytest.mark.parametrize("template", ["$unknown", "%if unknown\n%end\n"])
def test_a_template_that_names_no_value_is_an_error(template: str) -> None:
    with pytest.raises(KeyError, match="unknown"):
        render(template, {})


def test_eg3d_is_said_to_take_its_sizes(made: Manifest) -> None:
    zipped = structs.replace(made, format="zip", sizes={"100x100": 8})
    sizes = f"{', '.join(map(str, EG3D_SIDES[:-1]))} or {EG3D_SIDES[-1]}"
    assert f"takes pictures of {sizes} pixels, these have 100." in card(zipped, {"png"})
    for side in EG3D_SIDES:
        text = card(structs.replace(zipped, sizes={f"{side}x{side}": 8}), {"png"})
        assert "takes pictures of" not in text and "### EG3D\n\n```sh\npython train.py" in text


@given(st.text())
def test_code_cannot_leave_its_fence(code: str) -> None:
    fence = fenced(code, "sh").partition("sh\n")[0]
    assert set(fence) == {"`"}
    assert fence not in code


@given(st.text())
def test_text_of_the_user_s_stays_on_its_line(text: str) -> None:
    shown = markdown(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|~&#$]", shown)


def test_licenses_say_what_they_ask_for(made: Manifest) -> None:
    counts = {"CC-BY-2.0": 1200, "CC-BY-NC-SA-2.0": 3, "CC0-1.0": 2, "unknown": 4567}
    text = card(structs.replace(made, licenses=counts), {"png"})
    assert "| [CC-BY-2.0](https://creativecommons.org/licenses/by/2.0/) | 1,200 | yes |  |  |  |\n" in text
    assert (
        "| [CC-BY-NC-SA-2.0](https://creativecommons.org/licenses/by-nc-sa/2.0/) | 3 | yes | yes | yes |  |\n" in text
    )
    assert "| [CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/) | 2 |  |  |  |  |\n" in text
    assert "| unknown | 4,567 | ? | ? | ? | ? |\n" in text
    assert "Of 4,567 samples the license is unknown" in text
    assert "](ATTRIBUTION.csv)" in text
    assert "is unknown" not in card(made, {"png"})


def test_the_terms_and_citations_are_those_of_what_is_inside(made: Manifest) -> None:
    text = card(structs.replace(made, sources={"ffhq": 3, "lpff": 2}), {"png"})
    assert re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE) == ["Karras_2019_CVPR", "Wu_2023_ICCV", "Chan_2022_CVPR"]
    assert "CC BY-NC-SA 4.0" in text
    assert "Unsplash" not in text
    assert "## Citation" not in card(made, {"png"})
    plain_stylegan = structs.replace(
        _with(made, alignment="stylegan"), sources={"ffhq": 1}, layout=replace(made.layout, camera=False)
    )
    assert "Chan_2022" not in card(plain_stylegan, {"png"})


def test_without_cameras_nothing_is_said_of_them(made: Manifest) -> None:
    manifest = structs.replace(made, layout=replace(made.layout, camera=False, landmarks=False))
    text = card(manifest, {"png"})
    assert "Poses" not in _sections(text)
    assert "image-to-3d" not in text
    assert '.to_tuple("png", "json")' in text
    assert "camera.npy" not in text
    assert "EG3D, and" not in card(structs.replace(manifest, format="zip"), {"png"})


def test_what_was_left_out_is_told(made: Manifest) -> None:
    assert "Left out" not in card(made, {"png"})
    gone = structs.replace(
        _with(made, exclude="gone.txt"),
        counts=Counts(planned=10, written=8, skipped=2, left_out=1),
        filtered={"license CC-BY-SA-2.0": 1234},
        tombstones=(Tombstone("key", "file", ()),) * 3,
        notes=("--exclude: 2 of its lines name no picture here",),
    )
    text = card(gone, {"png"})
    assert "- license CC-BY-SA-2.0: 1,234\n" in text
    assert "- 1 unusable pictures before planning and 2 of 10 planned samples" in text
    assert "--exclude gone.txt --resolution 16 --shards 2 --on-error skip" in text.replace(" \\\n ", "")
    assert "with `--update` took out 3 samples that gone.txt names since" in text
    assert "## Notes\n\n- --exclude: 2 of its lines name no picture here\n" in text


def test_loaders_are_told_how_pictures_count(made: Manifest) -> None:
    weighted = card(_with(made, rebalance="lpff", mirror=False, **{"as": "weights"}), {"png"})
    assert 'loader(".", batch_size=8, mirror=True, weights=True)' in weighted
    assert "mirror=True" not in card(made, {"png"})
    assert '.to_tuple("jpg;png", "camera.npy", "json")' in card(made, {"png", "jpg"})


def test_taking_pictures_out_tells_the_card(tmp_path: Path) -> None:
    exclude = tmp_path / "gone.txt"
    exclude.write_text("")
    out = tmp_path / "out"
    options = _options(out, mix=MixOptions(exclude=str(exclude)))
    export(options)
    exclude.write_text("00000001\n")
    export(replace(options, run=RunOptions(workers=1, update=True)))
    assert read_manifest(out).tombstones
    assert "Then the same command with `--update` took out" in (out / "README.md").read_text()
    assert (out / "poses.png").is_file()
