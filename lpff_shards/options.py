"""What a user can ask of an export: frozen, validated on creation, importing nothing heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from lpff_shards.errors import ShardsError
from lpff_shards.mix_options import OFFICIAL, TRAIN, MixOptions
from lpff_shards.option_rules import in_range, one_of, recordable_path

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
        one_of("--alignment", self.alignment, ALIGNMENTS)
        in_range("--demo", self.demo, 1, 10_000_000)
        for name in (*SOURCES, *SOURCE_FILES):
            if name != "demo" and getattr(self, name) is not None:
                object.__setattr__(self, name, recordable_path(f"--{name.replace('_', '-')}", getattr(self, name)))
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
        one_of("--image", self.image, IMAGE_KINDS)
        in_range("--resolution", self.resolution, 4, MAX_RESOLUTION)
        in_range("--quality", self.quality, 1, 100)
        if self.quality is not None and self.image not in ("jpeg", "webp"):
            raise ShardsError(
                f"--quality has no effect with --image {self.image}", "Use it with --image jpeg or --image webp"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOptions:
    """How samples are spread over shards: at most one of the three sizes.

    Attributes:
        shard_size: about the most bytes of a shard; the number of shards is then 1, 2, 4 or a multiple of 8, and every
            shard holds the same number of samples, give or take one.
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
        in_range("--shard-size", self.shard_size, 1)
        in_range("--samples-per-shard", self.samples_per_shard, 1)
        in_range("--shards", self.shards, 1)
        if self.seed is not None and not self.shuffle:
            raise ShardsError("--seed has no effect with --no-shuffle", "Drop one of them")
        in_range("--seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How the export runs: none of these changes a shard of good input.

    Attributes:
        workers: processes; None means every core this process may use.
        checksum: algorithm of the receipts and the manifest; sha256 also writes SHA256SUMS.
        on_error: `fail` stops at the first bad picture, `skip` leaves bad ones out, listed and counted.
        overwrite: replace the shards of another plan in the same folder.
        update: take pictures that `exclude` names since out of a finished export, writing their shards alone again.
    """

    workers: int | None = None
    checksum: Checksum = "blake3"
    on_error: OnError = "fail"
    overwrite: bool = False
    update: bool = False

    def __post_init__(self) -> None:
        if self.update and self.overwrite:
            raise ShardsError("--update and --overwrite exclude one another", "Give one of them")
        in_range("--workers", self.workers, 1, 512)
        one_of("--checksum", self.checksum, CHECKSUMS)
        one_of("--on-error", self.on_error, ON_ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Everything `lpff-shards export` takes.

    Attributes:
        format: `wds` (WebDataset tar) or `tfrecord`.
        out: the output folder.
        name: of the data set; None derives it from the sources (`ffhq_lpff`).
        metadata: `json`, or `msgpack` for one packed member beside the picture (wds only).
        mix: rebalancing, filters and splits.
    """

    format: FormatName
    out: str
    sources: SourceOptions
    name: str | None = None
    metadata: Metadata = "json"
    mix: MixOptions = field(default_factory=MixOptions)
    picture: PictureOptions = field(default_factory=PictureOptions)
    shards: ShardOptions = field(default_factory=ShardOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        one_of("--format", self.format, FORMATS)
        one_of("--metadata", self.metadata, METADATA)
        if self.metadata == "msgpack" and self.format != "wds":
            raise ShardsError("--metadata msgpack has no effect with --format tfrecord", "It is for --format wds")
        if self.name is not None and not NAME_RULE.fullmatch(self.name):
            raise ShardsError(
                f"--name {self.name!r} cannot be used in file names",
                "It starts with a-z, then a-z, 0-9 and _, 40 characters at most",
            )
        _refuse_unmixable(self.sources, self.mix)
        if self.run.update and self.mix.exclude is None:
            raise ShardsError("--update takes out what --exclude names, and there is none", "Give --exclude FILE too")
        object.__setattr__(self, "out", recordable_path("--out", self.out))
        if "://" in self.out:
            raise ShardsError(f"--out {self.out} is not a folder", "Export to a local folder and copy it to the bucket")

    @property
    def dataset_name(self) -> str:
        """The published set's name where the options give one, such as ffhq_lpff_rebalanced; else one like it."""
        return self.name or "_".join([*self.sources.given, *_rebalanced(self.sources, self.mix)])


def _rebalanced(sources: SourceOptions, mix: MixOptions) -> list[str]:
    """What rebalancing adds to a set's name: the rule too, where the set is not a published one."""
    if mix.rebalance == "none":
        return []
    word = "rebalanced" if mix.as_ == "replicas" else "weighted"
    return [word] if _is_published(sources, mix) else [word, mix.rebalance]


def _is_published(sources: SourceOptions, mix: MixOptions) -> bool:
    """Whether a rebalanced set is one of the published ones, withdrawn photos aside."""
    if mix.license or mix.splits != TRAIN or sources.mirrors != (sources.alignment == "eg3d"):
        return False
    if (sources.given, mix.rebalance) == (("ffhq",), "eg3d"):
        return sources.alignment == "eg3d" and mix.num_replicas is not None
    return (sources.given, mix.rebalance) == (("ffhq", "lpff"), "lpff")


def _refuse_unmixable(sources: SourceOptions, mix: MixOptions) -> None:
    """Refuses a mix that these sources cannot give."""
    if mix.num_replicas is not None and sources.given != ("ffhq",):
        others = ", ".join(name for name in sources.given if name != "ffhq")
        raise ShardsError(
            f"--num-replicas tells the replicas of FFHQ's pictures only{f', not of {others}' if others else ''}",
            "Give --ffhq alone, or leave --num-replicas out to compute replicas from the cameras",
        )
    if mix.splits == OFFICIAL and (sources.ffhq is None or sources.ffhq_metadata is None):
        raise ShardsError("--splits official is FFHQ's own", "Give --ffhq and --ffhq-metadata, which tells it")
    if mix.rebalance != "none" and sources.alignment == "stylegan" and sources.ffhq and not sources.ffhq_cameras:
        raise ShardsError(
            f"--rebalance {mix.rebalance} needs the cameras of --ffhq, and its stylegan-aligned pictures have none",
            "Give EG3D's dataset.json by --ffhq-cameras",
        )
