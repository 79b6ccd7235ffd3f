"""The settings in a loader's state: only a loader with the same batches can restore it."""

from __future__ import annotations

from dataclasses import dataclass

import blake3
import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.sampler import EpochSampler
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.stream_sampler import StreamSampler

Setting = str | int | bool | None

_DATA = ("plan", "shards")
_OPTIONS = ("batch_size", "shuffle", "seed", "rank", "world_size", "equal", "mirror")
_LOADERS = {EpochSampler: "Sampling", StreamSampler: "Rows"}
"""The names in states, also in those of older versions."""


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """The settings that determine a loader's batches.

    Attributes:
        source: of the samples.
        by: their order.
    """

    source: ShardSource
    by: EpochSampler | StreamSampler

    def settings(self, workers: int | None) -> dict[str, Setting]:
        """Return the settings for a state, as plain JSON values by name.

        Args:
            workers: worker processes; None if neither order nor state depends on them.
        """
        return {
            "loader": _LOADERS[type(self.by)],
            "plan": self.source.manifest.plan,
            "shards": _digest([shard.keys for shard in self.source.shards]),
            "split": self.source.split,
            **{name: _plain(getattr(self.by, name)) for name in _OPTIONS},
            "weights": self.by.weights is not None,
            **({} if workers is None else {"workers": workers}),
        }

    def refuse_other(self, saved: object, workers: int | None) -> None:
        """Refuse a state that was saved with other settings.

        Args:
            saved: the settings in the state.
            workers: see `settings`.

        Raises:
            ShardsError: settings differ; the error lists them.
        """
        now = self.settings(workers)
        if isinstance(saved, dict):
            differ = [name for name in now if saved.get(name) != now[name]]
            if differ:
                raise _other(saved, now, differ)
        else:
            raise ShardsError(
                "This is not a loader state, or one of an older version that does not list its settings",
                "Recreate the loader with the data set and all options that it was saved with, workers among them",
            )


def _other(saved: dict[str, Setting], now: dict[str, Setting], differ: list[str]) -> ShardsError:
    options = [name for name in differ if name not in _DATA]
    reasons, hints = [], []
    # Another split has other shards of the same plan.
    if "plan" in differ or ("shards" in differ and "split" not in differ):
        reasons.append("the data set is another one or has changed")
        hints.append("open the data set that it was saved with")
    if options:
        values = (", ".join(f"{name}={settings.get(name)!r}" for name in options) for settings in (saved, now))
        reasons.append("saved with {}, now {}".format(*values))
        hints.append("recreate the loader with the saved options")
    hint = ", and ".join(hints)
    return ShardsError(f"This loader state does not match: {'; '.join(reasons)}", hint[0].upper() + hint[1:])


def _plain(value: object) -> Setting:
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[return-value]


def _digest(texts: list[str]) -> str:
    return blake3.blake3("\n".join(texts).encode()).hexdigest(length=16)
