"""What a bench is asked for, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.options.rules import in_range, number_in_range, one_of, recordable_path

LOADERS = ("source", "torch.loader", "torch.stream", "webdataset", "tensorflow", "jax")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """Everything `lpff-shards bench` takes.

    Attributes:
        path: the folder that an export wrote.
        split: whose samples.
        batch_size: pictures of a batch.
        workers: numbers of processes to try, one after the other; empty leaves it to each loader.
        loaders: some of `LOADERS`; empty takes all that are installed and read the export's format.
        seconds: how long each is read.
        mirror: flip pictures at random.
    """

    path: str
    split: str = "train"
    batch_size: int = 32
    workers: tuple[int, ...] = ()
    loaders: tuple[str, ...] = ()
    seconds: float = 5.0
    mirror: bool = False

    def __post_init__(self) -> None:
        recordable_path("PATH", self.path)
        in_range("--batch-size", self.batch_size, 1, 1_000_000)
        for number in self.workers:
            in_range("--workers", number, 0, 512)
        for name in self.loaders:
            one_of("--loader", name, LOADERS)
        number_in_range("--seconds", self.seconds, 0.01, 3600)
        if len(set(self.loaders)) < len(self.loaders) or len(set(self.workers)) < len(self.workers):
            raise ShardsError("--loader or --workers names one twice", "Name each once")


class Run(Struct, frozen=True):
    """One loader's reading, with a number of workers (None: its own choice).

    Attributes:
        pictures: how many were read.
        seconds: it took, the first batch left out.
        start: seconds until the first batch was there, imports included.
        problem: why it could not be measured, else empty.
        tried: False where it is not installed or does not read the format.
    """

    loader: str
    workers: int | None
    pictures: int = 0
    seconds: float = 0.0
    start: float = 0.0
    problem: str = ""
    tried: bool = True

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.pictures / self.seconds if self.seconds else 0.0


class Reading(Struct, frozen=True):
    """Reading the files from one end to the other.

    Attributes:
        bytes: read each time.
        first, again: seconds as the files were found, and once more, when they lie in memory if they fit.
    """

    bytes: int
    first: float
    again: float


class Report(Struct, frozen=True):
    """What a bench found.

    Attributes:
        samples, bytes: of the split.
        reading: of its files.
        runs: of the loaders, in the order of `LOADERS`.
    """

    name: str
    format: str
    split: str
    samples: int
    bytes: int
    batch_size: int
    reading: Reading
    runs: tuple[Run, ...]

    @property
    def ok(self) -> bool:
        """Whether some loader was measured, and none failed."""
        return any(run.pictures for run in self.runs) and not any(run.problem for run in self.runs if run.tried)

    @property
    def picture_bytes(self) -> float:
        """Bytes that a sample takes in the shards."""
        return self.bytes / self.samples
