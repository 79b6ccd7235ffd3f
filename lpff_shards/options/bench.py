"""What `lpff-shards bench` takes."""

from __future__ import annotations

from dataclasses import dataclass

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import check, option, recordable_path
from lpff_shards.options.mix import TRAIN
from lpff_shards.schemas.text import alternatives

LOADERS = ("source", "torch.loader", "torch.stream", "webdataset", "tensorflow", "jax")
DEMANDS = {"retinanet-b200": (24, 0.04755), "resnet50-h100": (400, 0.224), "resnet50-a100": (400, 0.435)}
"""Batch size and seconds of computation for a batch of accelerators that MLPerf Storage simulates: editions 3.0
(retinanet) and 2.0, from configs/dlio/workload of https://github.com/mlcommons/storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """Everything `lpff-shards bench` takes, with the folder or URI of an export."""

    path: str
    split: str = option("Whose samples.", "text", default=TRAIN, metavar="NAME", shown=True)
    batch_size: int = option("Pictures of a batch.", "whole", default=32, most=1_000_000, shown=True)
    workers: tuple[int, ...] = option(
        "Processes of each loader; repeatable, to compare.  [default: each loader's own]",
        "whole", least=0, most=512, default=(), repeated=True,
    )  # fmt: skip
    loader: tuple[str, ...] = option(
        "This one only, such as torch.loader or webdataset; repeatable.",
        "word", choices=LOADERS, default=(), metavar="NAME", repeated=True,
    )  # fmt: skip
    seconds: float = option("How long each loader reads.", "number", default=5.0, least=0.01, most=3600, shown=True)
    mirror: bool = option("Flip pictures at random while loading.", "flag", default=False)
    step_ms: float | None = option(
        "Simulate a training step of this length on each batch, and print the utilization.",
        "number", least=1, most=600_000, metavar="MS",
    )  # fmt: skip
    demand: str | None = option(
        f"Simulate an accelerator of MLPerf Storage instead: {alternatives(DEMANDS)}.",
        "word", choices=tuple(DEMANDS), metavar="NAME",
    )  # fmt: skip
    cold: bool = option("Also measure each loader with the shards out of the page cache.", "flag", default=False)
    memory: int | None = option("Limit each loader's memory, page cache included; implies cold.", "bytes")

    def __post_init__(self) -> None:
        recordable_path("PATH", self.path)
        check(self)
        if len(set(self.loader)) < len(self.loader) or len(set(self.workers)) < len(self.workers):
            raise ShardsError("--loader or --workers names one twice", "Name each once")
        if self.step_ms and self.demand:
            raise ShardsError("--step-ms and --demand cannot be used together", "Give one of them")

    @property
    def picture_seconds(self) -> float:
        """Seconds of simulated computation for a picture, 0 without any."""
        size, seconds = DEMANDS[self.demand] if self.demand else (self.batch_size, (self.step_ms or 0) / 1000)
        return seconds / size
