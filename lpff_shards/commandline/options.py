"""The options of the commands by the titles of the help, and their click types. The frozen options document them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from lpff_shards.commandline.help import Option
from lpff_shards.formats.registry import NAMES
from lpff_shards.options import export as options
from lpff_shards.options import mix as mix_options
from lpff_shards.options.rules import BY, Share, one_of
from lpff_shards.schemas.license import USUAL_NAMES

_POWERS = "KMGT"


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """Bytes, as in 256MB, 1GiB or 1000000: K, M, G and T count by 1000, with or without B; KiB to TiB by 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(IB|B)?|B)?", str(value).strip().upper(), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is not a size; write 256MB, 1GiB or a number of bytes", param, ctx)
        if len(match[1]) > 15:
            self.fail(f"{match[1][:15]}... is more bytes than any disk holds", param, ctx)
        step = 1024 if match[3] == "IB" else 1000
        return int(float(match[1]) * step ** (_POWERS.index(match[2]) + 1 if match[2] else 0))


class ShareText(click.ParamType):  # type: ignore[type-arg]
    """A share of the tasks, as in 2/4."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Share:  # noqa: ARG002
        return value if isinstance(value, Share) else Share.parse(str(value))


class Choice(click.Choice):  # type: ignore[type-arg]  # generic only since click 8.2
    """One of a list of words; a wrong one is told the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        one_of(param.opts[0] if param else "it", str(value), [str(choice) for choice in self.choices])
        return super().convert(value, param, ctx)


class PathText(StringParamType):
    """A path, taken as it was typed: whether it is there, whoever reads it tells. The shell completes it as a path.

    Args:
        folder: whether it can only be a folder, else it may be a file too.
    """

    def __init__(self, *, folder: bool = False) -> None:
        self.kind = "dir" if folder else "file"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What the shell offers for a text begun so."""
        return [CompletionItem(incomplete, type=self.kind)]


class Words(StringParamType):
    """Any text, for which the shell offers words.

    Args:
        words: gives them when they are asked for.
        listed: whether the text may be several words with commas between them.
    """

    def __init__(self, words: Callable[[], Sequence[str]], *, listed: bool = False) -> None:
        self.words = words
        self.listed = listed

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """What the shell offers for a text begun so."""
        before, comma, begun = incomplete.rpartition(",") if self.listed else ("", "", incomplete)
        taken = before.casefold().split(",")
        left = (word for word in self.words() if word.casefold() not in taken)
        return [CompletionItem(before + comma + word) for word in left if word.casefold().startswith(begun.casefold())]


F = TypeVar("F", bound=Callable[..., Any])


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def _titled(section: str) -> Callable[..., Callable[[F], F]]:
    """`click.option` under a title."""
    return partial(click.option, cls=Option, section=section)


def _loaders() -> Sequence[str]:
    from lpff_shards.loaders.bench.options import LOADERS

    return LOADERS


_file, _folder = PathText(), PathText(folder=True)
_source, _mixed, _written = _titled("Sources"), _titled("Mix"), _titled("Output")
_pictured, _sharded, _runs = _titled("Picture"), _titled("Shards"), _titled("Run")
_read, _found, _told = _titled("Reading"), _titled("Looking"), _titled("Messages")

path = click.argument("path", type=_folder)
workers = _runs("--workers", type=int, metavar="N", help="Processes.  [default: every core]")
as_json = _told("--json", "as_json", is_flag=True, help="Print for machines: JSON, and nothing else, on stdout.")
by = _found("--by", type=Choice(BY), help="Look only among these.  [default: among all]")
quiet = _told("-q", "--quiet", is_flag=True, help="Print errors only (and JSON with --json).")
verbose = _told("-v", "--verbose", is_flag=True, help="Each shard, where time goes, versions of libraries, on stderr.")
told = _stack(as_json, quiet, verbose)
"""For every command that shows progress."""

sources = _stack(
    _source("--lpff", type=_file, metavar="PATH", help="LPFF: its folder, a flat folder of its crops, or a zip."),
    _source("--unsplash-pexels", type=_file, metavar="PATH", help="Unsplash-Pexels: the same."),
    _source("--ffhq", type=_file, metavar="PATH", help="FFHQ, aligned as --alignment says: a folder or a zip."),
    _source("--ffhq-cameras", type=_file, metavar="FILE", help="EG3D's dataset.json, where it is not inside --ffhq."),
    _source("--ffhq-metadata", type=_file, metavar="FILE",
            help="ffhq-dataset-v2.json: licenses, authors, landmarks."),
    _source("--demo", metavar="[N]", type=int, is_flag=False, flag_value=options.DEMO_PICTURES,
            help=f"N rendered portraits ({options.DEMO_PICTURES} without a number); nothing to download."),
    _source("--alignment", type=Choice(options.ALIGNMENTS), default="eg3d", show_default=True,
            help="Which crops; realign2400 and raw are LPFF's and Unsplash-Pexels'."),
    _source("--mirror/--no-mirror", default=None,
            help="Write each picture's mirror beside it.  [default: yes for eg3d]"),
)  # fmt: skip
mix = _stack(
    _mixed("--rebalance", type=Choice(mix_options.REBALANCE), default="none", show_default=True,
           help="By pose: lpff as LPFF's paper, eg3d as EG3D, uniform towards a flat distribution."),
    _mixed("--as", "as_", type=Choice(mix_options.AS), default="replicas", show_default=True,
           help="Copies as samples of their own, or each picture once with its weight."),
    _mixed("--num-replicas", type=_file, metavar="FILE",
           help="EG3D's replica file: for eg3d  [default: from the cameras], and for a zip's list FFHQ_rebalanced."),
    _mixed("--alpha", type=float, metavar="A",
           help=f"uniform: weights go by density^-A, 0 to 1.  [default: {mix_options.DEFAULT_ALPHA}]"),
    _mixed("--max-replicas", type=int, metavar="N",
           help=f"uniform: the most a picture counts.  [default: {mix_options.DEFAULT_MAX_REPLICAS}]"),
    _mixed("--target-size", type=int, metavar="N",
           help="uniform: total training samples.  [default: pictures of the commonest pose are kept once]"),
    _mixed("--license", type=Words(lambda: USUAL_NAMES, listed=True), multiple=True, metavar="NAME",
           help="Keep these only, such as CC-BY-2.0 or CC0-1.0,PDM-1.0; repeatable."),
    _mixed("--exclude", type=_file, metavar="FILE",
           help="Photos to leave out, one a line, by any name that `trace` takes."),
    _mixed("--splits", type=Words(lambda: (mix_options.TRAIN, mix_options.OFFICIAL)), metavar="SPEC",
           default=mix_options.TRAIN, show_default=True,
           help="train; official (FFHQ's); or fractions such as train=0.96,val=0.02,test=0.02."),
)  # fmt: skip
output = _stack(
    _written("--format", type=Choice(NAMES), required=True,
             help="WebDataset tar, TFRecord, the zip that EG3D and StyleGAN train on, Parquet, or ArrayRecord."),
    _written("--out", type=_folder, metavar="DIR", required=True,
             help="The output folder, or s3://BUCKET/PREFIX or gs://BUCKET/PREFIX."),
    _written("--name", help="Name of the data set.  [default: from the sources]"),
    _written("--metadata", type=Choice(options.METADATA), default="json", show_default=True,
             help="wds: NPY and JSON members, or one msgpack member for all but the picture."),
    _written("--zip-copies", type=Choice(options.ZIP_COPIES), default=None,
             help="zip: store copies as files, which every trainer counts, or as names in lists, which LPFF's forks "
                  "alone read.  [default: files]"),
)  # fmt: skip
picture = _stack(
    _pictured("--image", type=Choice(options.IMAGE_KINDS), default=None,
              help="keep passes the files through unchanged; the others re-encode as RGB, stored-png without "
                   "compression.  [default: stored-png for zip, else keep]"),
    _pictured("--resolution", type=int, metavar="N", help="Resize square pictures to NxN (Lanczos)."),
    _pictured("--quality", type=int, metavar="N", help="1-100, for jpeg (default 95) and webp (default lossless)."),
)  # fmt: skip
shards = _stack(
    _sharded("--shard-size", type=Size(), help="About the most bytes of a shard: 512MB, 1G, 1GiB.  [default: 256MB]"),
    _sharded("--samples-per-shard", type=int, metavar="N", help="Samples in every shard but the last."),
    _sharded("--shards", type=int, metavar="N", help="Number of shards, of equal numbers of samples."),
    _sharded("--shuffle/--no-shuffle", default=None,
             help="Shuffle, or keep the source order.  [default: keep for zip, else shuffle]"),
    _sharded("--seed", type=int, metavar="N", help="Of the shuffle, and of uniform's copies.  [default: 0]"),
)  # fmt: skip
run = _stack(
    _runs("--checksum", type=Choice(options.CHECKSUMS), default="blake3", show_default=True,
          help="sha256 also writes SHA256SUMS."),
    workers,
    _runs("--engine", type=Choice(options.ENGINES), default="local", show_default=True,
          help="What writes the shards: processes of this machine, or a Ray cluster, N (--workers) at once."),
    _runs("--ray-address", metavar="ADDRESS",
          help="HOST:PORT of the cluster, or auto.  [default: $RAY_ADDRESS, else one is started here]"),
    _runs("--task", type=ShareText(), metavar="I/N",
          help="Write the I-th of N shares of the shards only; the last to be done finishes the export."),
    _runs("--on-error", type=Choice(options.ON_ERROR), default="fail", show_default=True,
          help="On a bad picture: stop, or skip it and list it in the manifest."),
    _runs("--overwrite", is_flag=True, help="Replace another plan's shards in the same folder."),
    _runs("--update", is_flag=True,
          help="Take what --exclude names since out of an export; other shards stay as they are."),
    _runs("--allow-missing", is_flag=True,
          help="With --update: go on though --exclude names something that never was in the export."),
    _runs("--dry-run", is_flag=True, help="Print the plan and write nothing."),
    _runs("--report", type=_file, metavar="FILE",
          help="Write an HTML report too: of what was written, or with --dry-run of the plan."),
)  # fmt: skip
check = _stack(
    _runs("--deep", is_flag=True, help="Decode every picture and check every camera too."),
    workers,
)
report = _runs("--out", type=_file, metavar="FILE", help="The HTML file.  [default: PATH/report/index.html]")
bench = _stack(
    _read("--split", default=mix_options.TRAIN, show_default=True, metavar="NAME", help="Whose samples."),
    _read("--batch-size", type=int, default=32, show_default=True, metavar="N", help="Pictures of a batch."),
    _read("--workers", type=int, multiple=True, metavar="N",
          help="Processes of each loader; repeatable, to compare.  [default: each loader's own]"),
    _read("--loader", "loaders", type=Words(_loaders), multiple=True, metavar="NAME",
          help="This one only, such as torch.loader or webdataset; repeatable."),
    _read("--seconds", type=float, default=5.0, show_default=True, help="How long each loader reads."),
    _read("--mirror", is_flag=True, help="Flip pictures at random while loading."),
)  # fmt: skip
