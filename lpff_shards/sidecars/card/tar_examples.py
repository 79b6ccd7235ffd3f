"""Examples of the readers of WebDataset tars."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.sidecars.card.names import Example, Names


def examples(names: Names) -> Iterator[Example]:
    """webdataset, torchdata, wids, Hugging Face's datasets, DALI and Energon."""
    yield Example("webdataset", _webdataset(names))
    yield Example("torchdata", _torchdata(names))
    yield Example("wids", _wids(names))
    if len(names.suffixes) == 1:
        # It reads the members of the first samples only, so pictures of another kind would come without one.
        yield Example("Hugging Face datasets", _datasets(names))
    yield Example("NVIDIA DALI", _dali(names))
    yield Example("Megatron Energon", _energon(names))


def _url(names: Names) -> str:
    """The split's shards as webdataset expands them."""
    first, last = names.files[0], names.files[-1]
    if first == last:
        return first
    stem = f"{names.name}-{names.split}-"
    numbers = [file.removeprefix(stem).removesuffix(".tar") for file in (first, last)]
    return f"{stem}{{{'..'.join(numbers)}}}.tar"


def _pictures(names: Names) -> str:
    """The pictures' suffixes, any of which a sample may have."""
    return ";".join(names.suffixes)


def _members(names: Names) -> list[str]:
    if names.packed:
        return [_pictures(names), "mp"]
    return [_pictures(names), *(["camera.npy"] if names.camera else []), "json"]


def _webdataset(names: Names) -> str:
    members = _members(names)
    bound = ["picture", *(["camera"] if "camera.npy" in members else []), "fields"]
    camera = {"camera.npy": ", camera.shape", "mp": ', len(fields["camera"])'}.get(members[1], "")
    return f"""import webdataset as wds

dataset = wds.WebDataset("{_url(names)}", shardshuffle=False).decode("rgb8")
for {", ".join(bound)} in dataset.to_tuple({", ".join(f'"{member}"' for member in members)}):
    print(fields["key"], picture.shape{camera if names.camera else ""})
"""


def _torchdata(names: Names) -> str:
    return f"""import webdataset as wds
from torchdata.stateful_dataloader import StatefulDataLoader

dataset = wds.WebDataset("{_url(names)}", shardshuffle=False).decode("rgb8")
loader = StatefulDataLoader(dataset.to_tuple("__key__", "{_pictures(names)}"), batch_size=None, num_workers=0)
for key, picture in loader:
    print(key, picture.shape)
state = loader.state_dict()  # load_state_dict(state) goes on from here
"""


def _wids(names: Names) -> str:
    return f"""import wids

dataset = wids.ShardListDataset("{names.name}-{names.split}.wids.json", cache_dir="wids-cache")
sample = dataset[0]
print(len(dataset), sample["__key__"], sorted(sample))
"""


def _datasets(names: Names) -> str:
    return f"""from os import getcwd

from datasets import load_dataset

dataset = load_dataset(getcwd(), split="{names.split}", streaming=True)
sample = next(iter(dataset))
print(sample["__key__"], sorted(sample))
"""


def _dali(names: Names) -> str:
    camera = names.camera and not names.packed
    outputs = ["picture", *(["camera"] if camera else [])]
    ext = ", ".join(f'"{name}"' for name in (_pictures(names), *(["camera.npy"] if camera else [])))
    decoded = "fn.decoders.numpy(picture)" if names.raw else 'fn.decoders.image(picture, device="cpu")'
    taken = "picture, camera" if camera else "picture"
    return f"""from glob import glob

from nvidia.dali import fn, pipeline_def


@pipeline_def(batch_size={names.batch}, num_threads=2, device_id=None)
def pipeline():
    tars = sorted(glob("{names.name}-{names.split}-*.tar"))
    indexes = [tar.replace(".tar", ".idx") for tar in tars]
    {taken} = fn.readers.webdataset(paths=tars, index_paths=indexes, ext=[{ext}])
    return {decoded}{", fn.decoders.numpy(camera)" if camera else ""}


running = pipeline()
running.build()
{", ".join(f"{name}s" for name in outputs)}{"" if camera else ","} = running.run()
print(pictures[0].shape())
"""


def _energon(names: Names) -> str:
    # Energon knows pictures by their files' kinds: pixels come as a list of what the members hold.
    shown = "len(batch.image)" if names.raw else "batch.image.shape"
    return f"""from megatron.energon import WorkerConfig, get_loader, get_val_dataset

config = WorkerConfig(rank=0, world_size=1, num_workers=0)
dataset = get_val_dataset(".", split_part="{names.split}", worker_config=config, batch_size={names.batch})
for batch in get_loader(dataset):
    print({shown}, batch.label_name["key"])
"""
