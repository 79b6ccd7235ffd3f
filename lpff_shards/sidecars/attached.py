"""Channels that `lpff-shards attach` added to an export: folders with a manifest and shards of their own."""

from __future__ import annotations

import re

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import MANIFEST, Manifest, parsed_manifest, read_manifest
from lpff_shards.schemas.filenames import FOLDERS, REPORT_FOLDER, STATE_FOLDER
from lpff_shards.schemas.text import choice_hint
from lpff_shards.sidecars.folder import PLAN
from lpff_shards.storage.path import StoragePath, is_file, is_folder, is_remote, names_in, read_if_there

_NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = (*FOLDERS, REPORT_FOLDER)
"""Folders of an export that are no channels."""


def channels_in(root: StoragePath) -> dict[str, Manifest | None]:
    """Return the manifests of an export's channels by name, None for an unfinished one.

    Other exports in the folder are no channels.

    Raises:
        ShardsError: a channel's manifest is of another version, or damaged.
    """
    names, found = root.listing()[1] if is_remote(root) else names_in(root), dict[str, Manifest | None]()
    for name in sorted(name for name in names if _NAME.fullmatch(name) and name not in RESERVED):
        folder = root / name
        # Only an export has a plan.
        has_state = is_folder(folder / STATE_FOLDER) and not is_file(folder / PLAN)
        try:
            data = read_if_there(folder / MANIFEST)
            manifest = None if data is None else parsed_manifest(folder / MANIFEST, data)
        except ShardsError:
            # Folders of others may have a file of this name.
            if has_state:
                raise
            continue
        if manifest.layout.attached if manifest is not None else has_state:
            found[name] = manifest
    return found


def refuse_channel(root: StoragePath, manifest: Manifest) -> None:
    """Raise ShardsError for the folder of an attached channel, which has no pictures."""
    if manifest.layout.attached:
        message = f"{root} is a channel of an export, without pictures"
        raise ShardsError(message, f"Give the export {root.parent}; loaders read channels=({root.name!r},)")


def attached_channels(root: StoragePath) -> dict[str, Manifest]:
    """Return the manifests of the finished channels of an export, by name; see `channels_in`."""
    return {name: manifest for name, manifest in channels_in(root).items() if manifest is not None}


def is_current(channel: Manifest, name: str, of: Manifest) -> bool:
    """Return whether the shards of a channel have the keys of those of an export."""
    format = get_format(of.format)
    due = [(format.attached_name(shard.file, name), shard.keys) for shard in of.shards]
    return [(shard.file, shard.keys) for shard in channel.shards] == due


def read_channel_manifest(root: StoragePath, of: Manifest, name: str) -> Manifest:
    """Return the manifest of an attached channel of an export.

    Raises:
        ShardsError: there is no such channel, it is unfinished, or its samples are not those of the export.
    """
    if not _NAME.fullmatch(name) or not is_file(root / name / MANIFEST):
        inside = [channel.name for channel in of.layout.channels or ()]
        known = [*inside, *attached_channels(root)]
        hint = choice_hint(name, known) if known else "It has none: lpff-shards attach adds channels"
        raise ShardsError(f"{root} has no channel {name!r}", hint)
    found = read_manifest(root / name)
    if not found.layout.attached or not is_current(found, name, of):
        raise ShardsError(f"{root / name} is not a channel of these samples", "Run lpff-shards attach again")
    return found
