"""What a user can ask of an export: frozen, validated on creation, importing nothing heavy."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from lpff_shards.errors import ShardsError

FormatName = Literal["wds", "tfrecord"]
Alignment = Literal["eg3d", "stylegan", "realign2400", "raw"]
ImageKind = Literal["keep", "png", "jpeg", "webp", "raw"]
Metadata = Literal["json", "msgpack"]
Checksum = Literal["blake3", "sha256"]
OnError = Literal["fail", "skip"]

FORMATS: tuple[str, ...] = get_args(FormatName)
ALIGNMENTS: tuple[str, ...] = get_args(Alignment)
IMAGE_KINDS: tuple[str, ...] = get_args(ImageKind)
METADATA: tuple[str, ...] = get_args(Metadata)
CHECKSUMS: tuple[str, ...] = get_args(Checksum)
ON_ERROR: tuple[str, ...] = get_args(OnError)

SOURCES = ("ffhq", "lpff", "unsplash_pexels", "demo")
SOURCE_FILES = ("ffhq_cameras", "ffhq_metadata")
STATE_FOLDER = ".lpff-shards"
"""Our own files in an output folder, by which it is known as one."""
DEFAULT_SHARD_SIZE = 256 * 10**6
DEFAULT_JPEG_QUALITY = 95
DEMO_PICTURES = 24
MAX_RESOLUTION = 8192
NAME_RULE = re.compile(r"[a-z][a-z0-9_]{0,39}")


def _one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ShardsError(f"{option} {value!r} is not known", f"It is one of: {', '.join(allowed)}")


def _in_range(option: str, value: int | None, low: int, high: int | None = None) -> None:
    if value is not None and (type(value) is not int or value < low or (high is not None and value > high)):
        allowed = f"from {low} to {high}" if high is not None else f"{low} or more"
        raise ShardsError(f"{option} {value} is out of range", f"It takes a whole number {allowed}")


def _path(option: str, given: str | os.PathLike[str]) -> str:
    """A path as text that can be recorded."""
    path = os.fspath(given)
    if not path.strip():
        raise ShardsError(f"{option} is empty", "Give a path; was a shell variable unset?")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ShardsError(f"{option} {path} is not UTF-8", "Give it by a path that is, such as a link") from None
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where the pictures come from; what is given is combined.

    Attributes:
        lpff: folder or zip of LPFF in its published layout, or a flat folder of its crops.
        unsplash_pexels: the same for Unsplash-Pexels.
        ffhq: folder or zip of FFHQ, aligned as `alignment` says.
        ffhq_cameras: EG3D's dataset.json, where it does not lie inside `ffhq`.
        ffhq_metadata: ffhq-dataset-v2.json: licences, authors, landmarks.
        demo: number of portraits of the built-in demo source.
        alignment: which alignment of the pictures to take.
        mirror: write each picture's mirror beside it; None means yes for eg3d, no for the others.
    """

    lpff: str | None = None
    unsplash_pexels: str | None = None
    ffhq: str | None = None
    ffhq_cameras: str | None = None
    ffhq_metadata: str | None = None
    demo: int | None = None
    alignment: Alignment = "eg3d"
    mirror: bool | None = None

    def __post_init__(self) -> None:
        _one_of("--alignment", self.alignment, ALIGNMENTS)
        _in_range("--demo", self.demo, 1, 10_000_000)
        for name in (*SOURCES, *SOURCE_FILES):
            if name != "demo" and getattr(self, name) is not None:
                object.__setattr__(self, name, _path(f"--{name.replace('_', '-')}", getattr(self, name)))
        if not self.given:
            raise ShardsError("no source was given", "Give --lpff, --unsplash-pexels, --ffhq or --demo; they combine")
        if self.alignment not in ("eg3d", "stylegan"):
            for name in ("ffhq", "demo"):
                if name in self.given:
                    raise ShardsError(
                        f"--{name} has no {self.alignment} pictures", "Use --alignment eg3d or --alignment stylegan"
                    )
        for option, value in (("--ffhq-cameras", self.ffhq_cameras), ("--ffhq-metadata", self.ffhq_metadata)):
            if value is not None and self.ffhq is None:
                raise ShardsError(f"{option} was given without --ffhq", "It describes FFHQ's pictures: give --ffhq too")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the given sources, in the order in which they are combined."""
        return tuple(name for name in SOURCES if getattr(self, name) is not None)

    @property
    def mirrors(self) -> bool:
        """Whether mirrors are written, the default resolved."""
        return self.alignment == "eg3d" if self.mirror is None else self.mirror


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How pictures are stored.

    Attributes:
        image: `keep` passes the source's bytes through; the others re-encode as RGB.
        resolution: side in pixels to resize square pictures to (Lanczos); None leaves them.
        quality: 1 to 100 for jpeg (default 95) and webp (without it WebP is lossless).
    """

    image: ImageKind = "keep"
    resolution: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        _one_of("--image", self.image, IMAGE_KINDS)
        _in_range("--resolution", self.resolution, 4, MAX_RESOLUTION)
        _in_range("--quality", self.quality, 1, 100)
        if self.quality is not None and self.image not in ("jpeg", "webp"):
            raise ShardsError(
                f"--quality has no effect with --image {self.image}", "Use it with --image jpeg or --image webp"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOptions:
    """How samples are spread over shards: at most one of the three sizes.

    Attributes:
        shard_size: bytes that a shard aims at; every shard then holds the same number of samples, give or take one.
        samples_per_shard: samples in every shard but the last.
        shards: number of shards, of equal numbers of samples, give or take one.
        shuffle: order samples by a hash of seed and key; False keeps the sources' order.
        seed: of the shuffle, 0 by default.
    """

    shard_size: int | None = None
    samples_per_shard: int | None = None
    shards: int | None = None
    shuffle: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        names = ("shard_size", "samples_per_shard", "shards")
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ShardsError(f"{' and '.join(given)} exclude one another", "Give one of them")
        _in_range("--shard-size", self.shard_size, 1)
        _in_range("--samples-per-shard", self.samples_per_shard, 1)
        _in_range("--shards", self.shards, 1)
        if self.seed is not None and not self.shuffle:
            raise ShardsError("--seed has no effect with --no-shuffle", "Drop one of them")
        _in_range("--seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How the export runs: none of these changes a shard of good input.

    Attributes:
        workers: processes; None means every core this process may use.
        checksum: algorithm of the receipts and the manifest; sha256 also writes SHA256SUMS.
        on_error: `fail` stops at the first bad picture, `skip` leaves bad ones out, listed and counted.
        overwrite: replace the shards of another plan in the same folder.
    """

    workers: int | None = None
    checksum: Checksum = "blake3"
    on_error: OnError = "fail"
    overwrite: bool = False

    def __post_init__(self) -> None:
        _in_range("--workers", self.workers, 1, 512)
        _one_of("--checksum", self.checksum, CHECKSUMS)
        _one_of("--on-error", self.on_error, ON_ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Everything `lpff-shards export` takes.

    Attributes:
        format: `wds` (WebDataset tar) or `tfrecord`.
        out: the output folder.
        name: of the data set; None derives it from the sources (`ffhq_lpff`).
        metadata: `json`, or `msgpack` for one packed member beside the picture (wds only).
    """

    format: FormatName
    out: str
    sources: SourceOptions
    name: str | None = None
    metadata: Metadata = "json"
    picture: PictureOptions = field(default_factory=PictureOptions)
    shards: ShardOptions = field(default_factory=ShardOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        _one_of("--format", self.format, FORMATS)
        _one_of("--metadata", self.metadata, METADATA)
        if self.metadata == "msgpack" and self.format != "wds":
            raise ShardsError("--metadata msgpack has no effect with --format tfrecord", "It is for --format wds")
        if self.name is not None and not NAME_RULE.fullmatch(self.name):
            raise ShardsError(
                f"--name {self.name!r} cannot be used in file names",
                "It starts with a-z, then a-z, 0-9 and _, 40 characters at most",
            )
        object.__setattr__(self, "out", _path("--out", self.out))
        if "://" in self.out:
            raise ShardsError(f"--out {self.out} is not a folder", "Export to a local folder and copy it to the bucket")

    @property
    def dataset_name(self) -> str:
        """The published set's name where the sources give one: ffhq, lpff, ffhq_lpff; else the sources joined."""
        return self.name or "_".join(self.sources.given)
