"""The state of a loader: how an epoch was read so far, and the settings that a loader must share to read the rest.

A state is the same on all ranks after the same number of batches, and of all frameworks, with any workers and threads.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import blake3
import numpy as np
from msgspec import Meta, Struct, ValidationError, convert

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.sampler import EpochSampler, Leg, Legs, Sampler
from lpff_shards.loaders.source import ShardSource

Settings = dict[str, str | int | bool | None]
_Count = Annotated[int, Meta(ge=0)]


class Position(NamedTuple):
    """The next batch of a rank: its number in what `before` left of an epoch."""

    epoch: int
    number: int = 0
    before: Legs = ()


class _State(Struct):
    epoch: _Count
    number: _Count
    of: dict[str, Any]
    before: tuple[Leg, ...] = ()


class _Own(Struct):
    """Settings that another loader may change: they only say how many samples were read."""

    world_size: _Count
    batch_size: _Count


def loader_settings(source: ShardSource, order: Sampler) -> Settings:
    """Return the settings that determine a loader's batches, as plain JSON values by name."""
    options = ("batch_size", "shuffle", "seed", "world_size", "equal", "mirror")
    values = ((name, getattr(order, name)) for name in options)
    keys = "\n".join(shard.keys for shard in source.shards)
    return {
        # The samplers' names in the states of all versions.
        "loader": "Sampling" if isinstance(order, EpochSampler) else "Rows",
        "plan": source.manifest.plan,
        "shards": blake3.blake3(keys.encode()).hexdigest(length=16),
        "split": source.split,
        **{name: value.item() if isinstance(value, np.generic) else value for name, value in values},
        "weights": order.weights is not None,
    }


def save_state(at: Position, settings: Settings) -> dict[str, Any]:
    """Return a loader's state as plain JSON values."""
    return {"epoch": at.epoch, "number": at.number, "before": [list(leg) for leg in at.before], "of": dict(settings)}


def restore_state(state: object, settings: Settings) -> Position:
    """Return where a loader goes on after a state of another one, of any world size and batch size.

    Raises:
        ShardsError: the state is not one, or a setting differs that determines the samples; each is listed.
    """
    try:
        saved = convert(state, _State)
        own = convert(saved.of, _Own)
    except ValidationError:
        raise ShardsError(
            "This is not a loader state, or one of an older version",
            "Start the epoch again: pass its number as epoch",
        ) from None
    _refuse_other(saved.of, settings)
    if own == convert(settings, _Own):
        return Position(saved.epoch, saved.number, saved.before)
    leg = Leg(own.world_size, own.batch_size, saved.number)
    return Position(saved.epoch, 0, (*saved.before, leg) if saved.number else saved.before)


def _refuse_other(saved: Settings, now: Settings) -> None:
    differ = [name for name in now if name not in _Own.__struct_fields__ and saved.get(name) != now[name]]
    options = [name for name in differ if name not in ("plan", "shards")]
    reasons, hints = [], []
    # Another split has other shards of the same plan.
    if "plan" in differ or ("shards" in differ and "split" not in differ):
        reasons.append("the data set is another one or has changed")
        hints.append("open the data set that it was saved with")
    if options:
        values = (", ".join(f"{name}={settings.get(name)!r}" for name in options) for settings in (saved, now))
        reasons.append("saved with {}, now {}".format(*values))
        hints.append("recreate the loader with the saved options")
    if differ:
        hint = ", and ".join(hints)
        raise ShardsError(f"This loader state does not match: {'; '.join(reasons)}", hint[0].upper() + hint[1:])
