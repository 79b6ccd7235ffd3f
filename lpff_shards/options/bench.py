"""What `lpff-shards bench` takes."""

from __future__ import annotations

from dataclasses import dataclass

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import check, option, recordable_path
from lpff_shards.options.mix import TRAIN

LOADERS = ("source", "torch.loader", "torch.stream", "webdataset", "tensorflow", "jax")


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

    def __post_init__(self) -> None:
        recordable_path("PATH", self.path)
        check(self)
        if len(set(self.loader)) < len(self.loader) or len(set(self.workers)) < len(self.workers):
            raise ShardsError("--loader or --workers names one twice", "Name each once")
