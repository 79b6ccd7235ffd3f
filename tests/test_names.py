"""The names of a picture: --exclude and trace take the same, and after an update each says that it is withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest
from dataset_factories import LPFF_IDS, UP_IDS, edit, write_ffhq_eg3d, write_ffhq_v2, write_lpff, write_unsplash_pexels
from running import Done, call

from lpff_shards import ShardsError, trace_export
from lpff_shards.manifest import read_manifest
from lpff_shards.schemas.keys import Wanted, asked, names
from lpff_shards.schemas.record import Credit

Call = Callable[..., Done]
ID = LPFF_IDS[2]
PAGE = "https://www.flickr.com/photos/99873466@N00/3071459241/"
FILE = "https://live.staticflickr.com/5727/3071459241_z_d.jpg"
AUTHOR = "Zoë 99873466@N00"
NAMES = (
    *(
        ID,
        f"{ID}.png",
        f"{ID}.PNG",
        f"crop/eg3d/{ID}.png",
        f"LPFF/crop/eg3d/{ID}",
        f"crop.zip:{ID}.png",
        f"{ID}_eg3d.png",
    ),
    *("lpff_99873466-N00_3071459241_01", "lpff_99873466-N00_3071459241_01_m", "lpff_99873466-N00_3071459241_01_m_r03"),
    *(
        "lpff_99873466-N00_3071459241_01.png",
        "3071459241",
        "99873466@N00_3071459241",
        "raw/99873466@N00_3071459241.jpg",
    ),
    *("99873466@N00", AUTHOR, normalize("NFD", AUTHOR), f"  {AUTHOR} "),
    *(PAGE, PAGE.replace("https", "http"), PAGE.removeprefix("https:"), PAGE.removeprefix("https://"), PAGE[:-1]),
    *("HTTPS://WWW.Flickr.com/photos/99873466@N00/3071459241", "flickr.com/photos/99873466@N00/3071459241"),
    *("https://m.flickr.com:443/photos/99873466%40N00/3071459241/?rb=1#comments", "photos/99873466@N00/3071459241"),
    *("/photos/99873466@N00/3071459241/", FILE, f"{FILE}?download=1", "5727/3071459241_z_d.jpg", "3071459241_z_d.jpg"),
    *(f"{PAGE}#comment72157594172157594", f"  {PAGE}/ ", PAGE.replace("photos", "%70hotos")),
    *("3071459241_o_d", "live.staticflickr.com/5727/3071459241_o_d.jpg"),
)
"""One picture's."""
OTHERS = (
    *("307145924", "3071459241_02", "zoë 99873466@N00", "Zoë", "lpff", "lpff_99873466", "flickr.com", "photos", "_01"),
    *("https://flickr.com/photos/99873466@N00/30714592411", "https://example.org/photos/99873466@N00/3071459241/"),
    *("https://flickr.com/photos/", "z_d.jpg", f"unsplash_pexels_{ID}", ".png", "/"),
)
"""No picture's."""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return lambda *args: call(capsys, monkeypatch, *args)


@pytest.fixture(scope="module")
def lpff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lpff(tmp_path_factory.mktemp("names") / "lpff", alignments=["eg3d"])


def _command(lpff: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("export", "--format", "wds", "--lpff", lpff, "--shards", 2, "--workers", 1, "--out", out, *more)


def _withdraw(command: Call, lpff: Path, out: Path, *lines: str, more: tuple[str, ...] = ()) -> Done:
    file = out.with_suffix(".txt")
    file.write_text("".join(f"{line}\n" for line in lines))
    return command(*_command(lpff, out, "--exclude", file, "--update", *more))


def _found(out: Path, name: str) -> tuple[set[str], set[str]]:
    """The source ids of the samples that a name finds, and the keys of those that were taken out."""
    found = trace_export(out, name)
    return {str(one.fields["source_id"]) for one in found.samples}, {one.key for one in found.taken_out}


def test_trace_and_exclude_take_every_name_before_and_after(lpff: Path, tmp_path: Path, command: Call) -> None:
    out = tmp_path / "out"
    assert command(*_command(lpff, out)).status == 0
    for name in NAMES:
        assert _found(out, name) == ({ID}, set()), name
    credit = Credit(
        photo_id="3071459241", author=AUTHOR, author_id="99873466@N00", source_url=PAGE,
        low_resolution_download_url=FILE, high_resolution_download_url=FILE.replace("_z_", "_o_"),
    )  # fmt: skip
    for name in NAMES:
        assert Wanted([name]).of("lpff", ID, credit), name
        assert not asked(name).isdisjoint(names("lpff", ID, credit)), name
    for name in OTHERS:
        assert not Wanted([name]).of("lpff", ID, credit), name
        assert _found(out, name) == (set(), set()), name
    assert _withdraw(command, lpff, out, PAGE).status == 0
    gone = {"lpff_99873466-N00_3071459241_01", "lpff_99873466-N00_3071459241_01_m"}
    for name in NAMES:
        assert _found(out, name) == (set(), gone), name
    for name in OTHERS:
        assert _found(out, name) == (set(), set()), name
    done = command("trace", PAGE, out)
    assert done.status == 0
    assert done.out.endswith("2 samples withdrawn\n")
    # Keys of samples and digests are all that is left of whom it was about.
    for path in out.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert AUTHOR.encode() not in data and b"3071459241_z_d" not in data and PAGE.encode() not in data, path


def test_a_case_of_several_names_at_once(lpff: Path, tmp_path: Path, command: Call) -> None:
    out = tmp_path / "out"
    assert command(*_command(lpff, out)).status == 0
    lines = ("https://flickr.com/photos/100004356@N06/21795165006?x=1", f"{LPFF_IDS[1]}.png")
    assert _withdraw(command, lpff, out, *lines).status == 0
    assert {one.key.removesuffix("_m") for one in read_manifest(out).tombstones} == {
        "lpff_100004356-N06_21795165006_01",
        "lpff_100004356-N06_21795165006_02",
    }
    assert command("verify", "--deep", out).status == 0


def test_a_query_tells_photos_apart_where_the_source_has_one() -> None:
    def of(url: str, given: str) -> bool:
        return bool(Wanted([given]).of("unsplash_pexels", "x_01", Credit(source_url=url)))

    one = "https://example.org/photo?id=1"
    assert of(one, one) and of(one, "example.org/photo") and not of(one, "https://example.org/photo?id=2")
    assert of("https://example.org/photo", "https://example.org/photo/?id=2&w=3")


def test_the_files_of_ffhq_and_its_mirrors_name_their_picture(tmp_path: Path, command: Call) -> None:
    ffhq, v2 = write_ffhq_eg3d(tmp_path / "ffhq", 3), write_ffhq_v2(tmp_path / "v2.json", range(3))
    export = ("export", "--format", "wds", "--ffhq", ffhq, "--ffhq-metadata", v2, "--out", tmp_path / "out")
    assert command(*export).status == 0
    for name in ("00001", "00001.png", "00001_mirror.png", "00000/00001_mirror", "ffhq_00001_m"):
        assert _found(tmp_path / "out", name) == ({"00001"}, set()), name
    assert asked("img00000003.png") & {("id", "img00000002")}


def test_slugs_in_another_unicode_form_are_one_name(tmp_path: Path, command: Call) -> None:
    ids = ["señora-woman_01", UP_IDS[0]]
    root = write_unsplash_pexels(tmp_path / "up", ids, ["eg3d"])
    export = ("export", "--format", "wds", "--unsplash-pexels", root, "--out", tmp_path / "out")
    assert command(*export).status == 0
    for name in ("señora-woman_01", "señora-woman", "señora-woman_01.png"):
        for form in ("NFC", "NFD"):
            found, _ = _found(tmp_path / "out", normalize(form, name))
            assert {normalize("NFC", id) for id in found} == {normalize("NFC", ids[0])}


def test_a_line_that_names_nothing_ends_an_update(lpff: Path, tmp_path: Path, command: Call) -> None:
    out = tmp_path / "out"
    assert command(*_command(lpff, out)).status == 0
    before = (out / "manifest.json").read_bytes()
    done = _withdraw(command, lpff, out, ID, "nobody@N99", "flickr.com/x")
    assert done.status == 2
    assert f"2 lines of --exclude {out}.txt name nothing that is or was in {out}: nobody@N99, flickr.com/x" in done.err
    assert "--allow-missing" in done.err
    assert (out / "manifest.json").read_bytes() == before
    done = _withdraw(command, lpff, out, ID, "nobody@N99", "flickr.com/x", more=("--allow-missing",))
    assert (done.status, done.err.count("nobody@N99")) == (0, 1)
    # What was taken out before is known by any of its names.
    assert _withdraw(command, lpff, out, ID, "nobody@N99", "flickr.com/x", PAGE, more=("--allow-missing",)).status == 0


def test_a_broken_picture_s_name_names_something(tmp_path: Path, command: Call) -> None:
    lpff, out = write_lpff(tmp_path / "lpff", alignments=["eg3d"]), tmp_path / "out"
    edit(lpff / "camera_parameters.json", lambda all: {**all, LPFF_IDS[0]: [0.0]})
    assert command(*_command(lpff, out, "--on-error", "skip")).status == 0
    assert trace_export(out, f"{LPFF_IDS[0]}.png").left_out
    assert _withdraw(command, lpff, out, LPFF_IDS[0], more=("--on-error", "skip")).status == 0


def test_a_shard_may_be_left_empty_and_is_told(lpff: Path, tmp_path: Path, command: Call) -> None:
    out = tmp_path / "out"
    one_each = ("--no-mirror", "--no-shuffle", "--samples-per-shard", "1")
    export = ("export", "--format", "wds", "--lpff", lpff, *one_each, "--workers", 1, "--out", out)
    assert command(*export).status == 0
    (tmp_path / "gone").write_text(f"{LPFF_IDS[0]}\n")
    done = command(*export, "--exclude", tmp_path / "gone", "--update")
    assert done.status == 0
    assert "lpff-train-000000.tar holds no sample any more" in done.err
    assert [shard.samples for shard in read_manifest(out).shards] == [0, 1, 1]
    assert command("verify", "--deep", out).status == 0
    # Hugging Face datasets cannot begin with a file without samples.
    assert (
        '    path:\n    - "lpff-train-000001.tar"\n    - "lpff-train-000002.tar"\n' in (out / "README.md").read_text()
    )


def test_a_withdrawn_picture_that_was_left_out_is_forgotten(tmp_path: Path, command: Call) -> None:
    lpff, out = write_lpff(tmp_path / "lpff", alignments=["eg3d"]), tmp_path / "out"
    edit(lpff / "camera_parameters.json", lambda cameras: {**cameras, ID: [0.0]})
    skip = ("--on-error", "skip")
    assert command(*_command(lpff, out, *skip)).status == 0
    assert ID in (out / "manifest.json").read_text()
    assert _withdraw(command, lpff, out, "99873466@N00", more=skip).status == 0
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert ID.encode() not in path.read_bytes(), path
    for name in (ID, PAGE, "3071459241", AUTHOR):
        trace = trace_export(out, name)
        assert (len(trace.taken_out), trace.left_out) == (1, ()), name
        assert "left out before, and forgotten by export --update" in command("trace", name, out).out
    assert command("verify", out).status == 0
    assert command(*_command(lpff, out, *skip)).status == 2


def test_author_names_that_look_like_comments_are_taken_out(tmp_path: Path, command: Call) -> None:
    lpff, out = write_lpff(tmp_path / "lpff", alignments=["eg3d"]), tmp_path / "out"
    authors = dict(zip(LPFF_IDS, ("#nofilter", "Zo\u00eb #1", "A\tB", "A\u2028B"), strict=False))
    edit(
        lpff / "info.json",
        lambda info: {
            id: {**record, "image_info": {**record["image_info"], "username": authors.get(id, "other")}}
            for id, record in info.items()
        },
    )
    assert command(*_command(lpff, out)).status == 0
    for author in authors.values():
        assert trace_export(out, author).samples
        assert _withdraw(command, lpff, out, "nobody #1").status == 2
    names_ = [*authors.values()][:2]
    assert _withdraw(command, lpff, out, *names_).status == 0
    assert all(trace_export(out, name).taken_out and not trace_export(out, name).samples for name in names_)


def test_names_of_nothing_are_refused(tmp_path: Path) -> None:
    for name in ("", "  "):
        with pytest.raises(ShardsError, match="the name to search is empty"):
            trace_export(tmp_path, name)
