"""The engine of a Ray cluster: every task is one of Ray's, which places it, and repeats it when its node is lost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import OnProgress, Result, Task, Work
from lpff_shards.executors.ray_cluster import connected
from lpff_shards.executors.ray_window import Flight


def check() -> None:
    """Refuses where Ray is not installed.

    Raises:
        ShardsError: it is not.
    """
    if find_spec("ray") is None:
        raise ShardsError("--engine ray needs Ray", 'Install it: pip install "lpff-shards[ray]"')


@dataclass(frozen=True, slots=True)
class OnRay:
    """A Ray cluster: the one at an address, else that of the environment's RAY_ADDRESS, else one of this machine.

    Attributes:
        workers: the most shards at once; None means every CPU that the cluster has.
        address: HOST:PORT of the cluster, or auto for the one that runs on this machine.
    """

    workers: int | None
    address: str | None

    @property
    def elsewhere(self) -> bool:
        """Yes: a cluster has other machines."""
        return True

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Result], None, None]:
        """Does every task, see `Engine.run`."""
        with connected(self.address, self.workers) as cluster:
            flight: Flight[Task, Result] = Flight(cluster, work, tasks, self.workers, on_progress)
            try:
                yield from flight.results()
            finally:
                flight.stop()
