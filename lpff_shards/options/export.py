"""What a user can ask of an export: frozen, validated on creation, importing nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, cast, get_args

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.options.declaration import (
    Share,
    check,
    cluster_address,
    flag,
    in_range,
    option,
    required,
    word,
)
from lpff_shards.options.mix import OFFICIAL, TRAIN, MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.sources import NAME_RULE, PUBLISHED
from lpff_shards.schemas.text import alternatives

if TYPE_CHECKING:
    from lpff_shards.formats.base import Format

ImageKind = Literal["keep", "png", "fast-png", "stored-png", "jpeg", "webp", "raw"]
Metadata = Literal["json", "msgpack"]
Checksum = Literal["blake3", "sha256"]
OnError = Literal["fail", "skip"]
EngineName = Literal["local", "ray"]
ZipCopies = Literal["files", "list"]

IMAGE_KINDS: tuple[str, ...] = get_args(ImageKind)
DEFAULT_SHARD_SIZE = 256 * 10**6
DEFAULT_JPEG_QUALITY = 95
MAX_RESOLUTION = 8192
MAX_WORKERS: Mapping[EngineName, int] = {"local": 512, "ray": 10_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How pictures are stored."""

    image: ImageKind | None = word(
        "keep passes the files through unchanged; the others re-encode as RGB, fast-png for fast decoding, stored-png "
        "without compression.  "
        "[default: stored-png for zip, png with --crop, else keep]", ImageKind,
    )  # fmt: skip
    resolution: int | None = option(
        "Resize square pictures to NxN (Lanczos); with --crop, the side of the crops.",
        "whole",
        least=4,
        most=MAX_RESOLUTION,
    )
    quality: int | None = option("1-100, for jpeg (default 95) and webp (default lossless).", "whole", most=100)

    def __post_init__(self) -> None:
        check(self)
        if self.quality is not None and self.image not in ("jpeg", "webp"):
            chosen = f"with --image {self.image}" if self.image else "without --image"
            raise ShardsError(f"--quality has no effect {chosen}", "Use it with --image jpeg or --image webp")

    @property
    def kind(self) -> ImageKind:
        """What pictures are stored as; `keep` where neither user nor format chose."""
        return self.image or "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOptions:
    """How samples are spread over shards, by at most one of the three sizes.

    By `shard_size` the number of shards is 1, 2, 4 or a multiple of 8, and every shard holds the same number of
    samples, give or take one, as by `shards`.
    """

    shard_size: int | None = option("About the most bytes of a shard: 512MB, 1G, 1GiB.  [default: 256MB]", "bytes")
    samples_per_shard: int | None = option("Samples in every shard but the last.", "whole")
    shards: int | None = option("Number of shards, of equal numbers of samples.", "whole")
    shuffle: bool | None = option("Shuffle, or keep the source order.  [default: keep for zip, else shuffle]", "switch")
    seed: int | None = option(
        "Of the shuffle, and of uniform's copies.  [default: 0]", "whole", least=0, most=2**63 - 1
    )

    def __post_init__(self) -> None:
        if len(self.sizes) > 1:
            raise ShardsError(f"{' and '.join(self.sizes)} cannot be used together", "Give one of them")
        check(self)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The options of size that were given."""
        names = ("shard_size", "samples_per_shard", "shards")
        return tuple(flag(name) for name in names if getattr(self, name) is not None)

    @property
    def shuffles(self) -> bool:
        """Whether samples are shuffled, where the format does not decide."""
        return self.shuffle is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How the export runs: none of these changes a shard of good input.

    With `engine="ray"`, `workers` are the most shards at once, by default every CPU of the cluster.
    """

    checksum: Checksum = word("sha256 also writes SHA256SUMS.", Checksum, default="blake3")
    workers: int | None = option("Processes.  [default: every core]", "whole", decides=False)
    engine: EngineName = word(
        "What writes the shards: processes of this machine, or a Ray cluster, N (--workers) at once.",
        EngineName, default="local", decides=False,
    )  # fmt: skip
    ray_address: str | None = option(
        "HOST:PORT of the cluster, or auto.  [default: $RAY_ADDRESS, else one is started here]",
        "text", metavar="ADDRESS", decides=False,
    )  # fmt: skip
    task: Share | None = option(
        "Write the I-th of N shares of the shards only; the last to be done finishes the export.",
        "share", decides=False,
    )  # fmt: skip
    on_error: OnError = word(
        "On a bad picture: stop, or skip it and list it in the manifest.", OnError, default="fail", decides=False
    )
    overwrite: bool = option("Replace another plan's shards in the same folder.", "flag", default=False, decides=False)
    update: bool = option(
        "Take what --exclude names since out of an export; other shards stay as they are.",
        "flag", default=False, decides=False,
    )  # fmt: skip
    allow_missing: bool = option(
        "With --update: go on though --exclude names something that never was in the export.",
        "flag", default=False, decides=False,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.update and self.task:
            raise ShardsError("--update and --task cannot be used together", "Run an update whole")
        if self.update and self.overwrite:
            raise ShardsError("--update and --overwrite cannot be used together", "Give one of them")
        if self.allow_missing and not self.update:
            raise ShardsError("--allow-missing has no effect without --update", "Give both, or neither")
        check(self, "workers")
        if self.ray_address is not None:
            if self.engine != "ray":
                raise ShardsError("--ray-address has no effect without --engine ray", "Give both, or neither")
            cluster_address("--ray-address", self.ray_address)
        in_range("--workers", self.workers, 1, MAX_WORKERS[self.engine])


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Everything `lpff-shards export` takes."""

    format: str = field(metadata=required(
        "WebDataset tar, TFRecord, the zip that EG3D and StyleGAN train on, Parquet, or ArrayRecord.",
        "word", choices=NAMES,
    ))  # fmt: skip
    out: str = field(metadata=required(
        "The output folder, or s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.", "folder", metavar="DIR", decides=False
    ))  # fmt: skip
    sources: SourceOptions
    name: str | None = option("Name of the data set.  [default: from the sources]", "text")
    metadata: Metadata = word(
        "wds: NPY and JSON members, or one msgpack member for all but the picture.", Metadata, default="json"
    )
    zip_copies: ZipCopies | None = word(
        "zip: store copies as files, which every trainer counts, or as names in lists, which LPFF's forks alone "
        "read.  [default: files]", ZipCopies,
    )  # fmt: skip
    mix: MixOptions = field(default_factory=MixOptions)
    picture: PictureOptions = field(default_factory=PictureOptions)
    shards: ShardOptions = field(default_factory=ShardOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        check(self)
        if self.metadata not in self.traits.metadata:
            hint = f"It is for --format {' or '.join(n for n in NAMES if self.metadata in get_format(n).metadata)}"
            raise ShardsError(f"--metadata {self.metadata} has no effect with --format {self.format}", hint)
        if self.name is not None and not NAME_RULE.fullmatch(self.name):
            hint = "It starts with a-z, then a-z, 0-9 and _, 40 characters at most"
            raise ShardsError(f"--name {self.name!r} cannot be used in file names", hint)
        _refuse_unmixable(self)
        if self.sources.channel and self.traits.channels == "none":
            raise ShardsError(f"--format {self.format} has no channels", "Leave --channel out, or use --format wds")
        if self.sources.crop and self.picture.image == "keep":
            raise ShardsError("--image keep has no effect with --crop, which makes new pictures", "Use --image png")
        if self.picture.image == "raw" and not self.traits.raw:
            hint = f"Use {alternatives(kind for kind in IMAGE_KINDS if kind != 'raw')}"
            raise ShardsError(f"--image raw is not for --format {self.format}", hint)
        if self.traits.for_trainers:
            _refuse_for_trainers(self)
        elif self.zip_copies is not None:
            raise ShardsError(f"--zip-copies has no effect with --format {self.format}", "It is for --format zip")
        if self.shards.seed is not None and not self.seeded:
            raise ShardsError("--seed has no effect with --no-shuffle", "Drop one of them")
        if self.run.update and self.mix.exclude is None:
            raise ShardsError("--update needs --exclude", "Give --exclude FILE too")

    @property
    def traits(self) -> Format:
        """The format itself."""
        return get_format(self.format)

    @property
    def dataset_name(self) -> str:
        """The published set's name where the options give one, such as ffhq_lpff_rebalanced; else one like it."""
        words = [*self.sources.given]
        if self.mix.rebalance != "none":
            words += ["rebalanced" if self.mix.as_ == "replicas" else "weighted"]
            rule, _, argument = self.mix.rebalance.partition(":")
            words += [] if self._mixes_as_published else [rule.replace("-", "_"), *([argument] * argument.isdecimal())]
        return self.name or "_".join(words)

    @property
    def resolved_picture(self) -> PictureOptions:
        """How pictures are stored, defaults filled in."""
        image = self.picture.image or cast("ImageKind", self.traits.image)
        if self.sources.crop and image == "keep":
            image = "png"
        quality = self.picture.quality or (DEFAULT_JPEG_QUALITY if image == "jpeg" else None)
        return replace(self.picture, image=image, quality=quality)

    @property
    def resolved_shards(self) -> ShardOptions:
        """How samples are ordered and spread: trainers that read zips shuffle themselves."""
        return replace(self.shards, shuffle=False, seed=None) if self.traits.for_trainers else self.shards

    @property
    def seeded(self) -> bool:
        """Whether the seed decides anything."""
        return self.resolved_shards.shuffles or self.mix.draws_copies

    @property
    def has_whole_sets(self) -> bool:
        """Whether every picture of each source is in one split, mirrored as published, withdrawn photos aside."""
        sources = self.sources
        aligned = (sources.alignment, sources.mirrors) in (("eg3d", True), ("stylegan", False)) and not sources.crop
        return aligned and not self.mix.license and self.mix.splits == TRAIN and not self.mix.draws_copies

    @property
    def serves_ffhq_rebalanced(self) -> bool:
        """Whether a zip can hold the list of EG3D's rebalanced FFHQ: it holds all pictures of that set."""
        return self.has_whole_sets and self.sources.ffhq is not None and self.sources.alignment == "eg3d"

    @property
    def is_published(self) -> bool:
        """Whether it is one of the five sets that LPFF's trainers name, withdrawn photos aside."""
        return self._mixes_as_published and self.mix.as_ == "replicas"

    @property
    def _mixes_as_published(self) -> bool:
        """Whether pictures and rule are those of a published set; EG3D's counts its replicas by its own file."""
        if self.mix.rebalance == "eg3d" and (self.sources.alignment != "eg3d" or self.mix.num_replicas is None):
            return False
        return self.has_whole_sets and (self.sources.given, self.mix.rebalance) in PUBLISHED


def _refuse_unmixable(options: ExportOptions) -> None:
    """Refuse a mix that the sources cannot give, and EG3D's replica file where it decides nothing."""
    sources, mix = options.sources, options.mix
    if mix.splits == OFFICIAL and (sources.ffhq is None or sources.ffhq_metadata is None):
        raise ShardsError("--splits official is FFHQ's own", "Give --ffhq and --ffhq-metadata")
    lacks_cameras = sources.pictures != "eg3d" and sources.ffhq and not sources.ffhq_cameras
    if mix.rebalance != "none" and lacks_cameras:
        raise ShardsError(
            f"--rebalance {mix.rebalance} needs the cameras of --ffhq, and its {sources.alignment}-aligned pictures "
            "have none",
            "Give EG3D's dataset.json by --ffhq-cameras",
        )
    given, rebalance = sources.given, mix.rebalance
    if mix.num_replicas is None or (given, rebalance) == (("ffhq",), "eg3d"):
        return
    if rebalance == "eg3d":
        others = ", ".join(name for name in given if name != "ffhq")
        hint = "Give --ffhq alone, or leave --num-replicas out to compute replicas from the cameras"
        not_of = f", not of {others}" if others else ""
        raise ShardsError(f"--num-replicas is for FFHQ's pictures only{not_of}", hint)
    if not (options.traits.for_trainers and options.serves_ffhq_rebalanced):
        hint = "Give both; or --format zip with all of EG3D-aligned FFHQ, for the list FFHQ_rebalanced.json"
        raise ShardsError("--num-replicas is for --rebalance eg3d", hint)


def _refuse_for_trainers(options: ExportOptions) -> None:
    """Refuse what the trainers' zip cannot hold, and what would have no effect on it."""
    side = options.picture.resolution
    if side is not None and side & (side - 1):
        hint = f"Use {1 << side.bit_length() - 1} or {1 << side.bit_length()}"
        raise ShardsError(f"--resolution {side} is not for --format zip; its trainers require powers of two", hint)
    if options.shards.sizes:
        message = f"{options.shards.sizes[0]} has no effect with --format zip, which writes one archive a split"
        raise ShardsError(message, "Leave it out, or use --format wds")
    if options.shards.shuffle:
        raise ShardsError("--shuffle has no effect with --format zip", "Leave it out: trainers shuffle themselves")
    if options.shards.seed is not None and not options.seeded:
        raise ShardsError("--seed has no effect with --format zip", "It is for --rebalance uniform here: leave it out")
    if options.dataset_name == "dataset":
        raise ShardsError("--name dataset is not for --format zip, where dataset.json holds the cameras", "Use another")
