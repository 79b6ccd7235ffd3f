"""What help says of each command beside its options: purpose, examples by task, exit statuses.

A new command gets a `Manual` here and stands in `cli.py`; tests parse every example.
"""

from __future__ import annotations

from lpff_shards.commandline.help import CHECK, LOOK_UP, MAKE, MEASURE, Example, Manual
from lpff_shards.errors import EXIT_BAD_INPUT, EXIT_DAMAGED, EXIT_DONE, EXIT_INTERRUPTED

_STOPPED = "stopped by Ctrl-C or SIGTERM"

TOP = (
    Example("Try it without downloads", "lpff-shards export --format wds --demo --out shards"),
    Example("Pack a data set", "lpff-shards export --format wds --lpff LPFF --out shards"),
    Example(
        "Pack the set that LPFF's paper trains on, for its trainers",
        "lpff-shards export --format zip --lpff LPFF --ffhq FFHQ_512.zip \\\n    --rebalance lpff --out zips",
    ),
    Example("Check what was written", "lpff-shards verify shards"),
    Example("See what was written (needs the extra: pip install 'lpff-shards[report]')", "lpff-shards report shards"),
    Example("Find a photo that was withdrawn", "lpff-shards trace 21795165006 shards"),
    Example("Measure how fast it loads here", "lpff-shards bench shards"),
)

EXPORT = Manual(
    purpose=MAKE,
    summary="Write shards, or the trainers' zip, from data sets.",
    examples=(
        Example("Try it without downloads", "lpff-shards export --format wds --demo --out shards"),
        Example(
            "Pack one data set, as WebDataset or as TFRecords",
            "lpff-shards export --format wds --lpff LPFF --out shards\n"
            "lpff-shards export --format tfrecord --unsplash-pexels UP.zip --out records",
        ),
        Example(
            "One share of four, on a machine of its own (the last one finishes)",
            "lpff-shards export --format wds --lpff LPFF --task 2/4 --out shards",
        ),
        Example(
            "Into a bucket (credentials and endpoints: docs/cluster.md)",
            "lpff-shards export --format wds --lpff LPFF --out s3://bucket/faces",
        ),
        Example(
            "On a Ray cluster, or on one of this machine (docs/cluster.md)",
            "lpff-shards export --format wds --lpff LPFF --engine ray \\\n    --ray-address 10.0.0.1:6379 --out shards",
        ),
        Example(
            "Read from buckets (needs the extra s3, or gcs for gs://)",
            "lpff-shards export --format wds --lpff s3://bucket/LPFF \\\n"
            "    --ffhq s3://bucket/FFHQ_512.zip --out shards",
        ),
        Example(
            "Combine data sets",
            "lpff-shards export --format wds --ffhq FFHQ_512.zip --lpff LPFF \\\n"
            "    --unsplash-pexels UnsplashPexels --out shards",
        ),
        Example(
            "The published sets (ffhq_rebalanced, ffhq_lpff_rebalanced)",
            "lpff-shards export --format wds --ffhq FFHQ_512.zip --rebalance eg3d \\\n"
            "    --num-replicas FFHQ_num_replicas.json --out shards\n"
            "lpff-shards export --format wds --ffhq FFHQ_512.zip --lpff LPFF \\\n"
            "    --rebalance lpff --out shards",
        ),
        Example(
            "Rebalance towards flat poses, by copies or by weights",
            "lpff-shards export --format wds --lpff LPFF --rebalance uniform \\\n"
            "    --alpha 0.7 --max-replicas 4 --out shards\n"
            "lpff-shards export --format wds --lpff LPFF --rebalance uniform \\\n"
            "    --as weights --out shards",
        ),
        Example(
            "Leave out all but some licenses, or photos that were withdrawn",
            "lpff-shards export --format wds --lpff LPFF --license CC0-1.0,PDM-1.0 \\\n"
            "    --out shards\n"
            "lpff-shards export --format wds --lpff LPFF --exclude withdrawn.txt \\\n"
            "    --out shards",
        ),
        Example(
            "Take withdrawn photos out of shards that were written before",
            "lpff-shards export --format wds --lpff LPFF --exclude withdrawn.txt \\\n    --update --out shards",
        ),
        Example(
            "Split by author and photo",
            "lpff-shards export --format wds --lpff LPFF \\\n    --splits train=0.96,val=0.02,test=0.02 --out shards",
        ),
        Example(
            "For TPUs (TFRecords of raw pixels, 128 shards of equal samples)",
            "lpff-shards export --format tfrecord --lpff LPFF --image raw \\\n"
            "    --resolution 256 --shards 128 --out records",
        ),
        Example(
            "The zip for EG3D's and StyleGAN's trainers",
            "lpff-shards export --format zip --lpff LPFF --ffhq FFHQ_512.zip \\\n"
            "    --rebalance lpff --out zips\n"
            "lpff-shards export --format zip --ffhq FFHQ --alignment stylegan \\\n"
            "    --resolution 256 --out zips",
        ),
        Example(
            "Look first (the plan, for people and for machines)",
            "lpff-shards export --format wds --lpff LPFF --out shards --dry-run\n"
            "lpff-shards export --format wds --lpff LPFF --out shards --dry-run --json",
        ),
        Example(
            "See the plan, with pictures as they will be written",
            "lpff-shards export --format wds --lpff LPFF --out shards --dry-run \\\n    --report plan.html",
        ),
        Example(
            "In scripts (says errors alone; bad pictures are left out and counted)",
            "lpff-shards export --format wds --lpff LPFF --on-error skip --out shards -q",
        ),
    ),
    statuses={
        EXIT_DONE: "every shard is written, or was there",
        EXIT_DAMAGED: "it could not be finished: a full disk, a killed worker",
        EXIT_BAD_INPUT: "bad input or options; the error names them",
        EXIT_INTERRUPTED: f"{_STOPPED}; the same command goes on",
    },
)

VERIFY = Manual(
    purpose=CHECK,
    summary="Check every checksum, sample and key.",
    examples=(
        Example("Check what was written or copied", "lpff-shards verify shards"),
        Example("Look into the pictures and cameras too", "lpff-shards verify --deep shards"),
        Example("In scripts (by the exit status and the faults alone, or as JSON)", "lpff-shards verify -q shards\n"
                "lpff-shards verify --json shards"),
        Example("See each shard as it is read", "lpff-shards verify -v --workers 4 shards"),
    ),
    statuses={
        EXIT_DONE: "all is well",
        EXIT_DAMAGED: "something is wrong, and it is named",
        EXIT_BAD_INPUT: "there is no export to check, or an option is wrong",
        EXIT_INTERRUPTED: _STOPPED,
    },
)  # fmt: skip

INDEX = Manual(
    purpose=MAKE,
    summary="Write the index files that an export lacks.",
    examples=(
        Example("Mend an export that lost them", "lpff-shards index shards"),
        Example("Which were written, for machines", "lpff-shards index --json shards"),
        Example("See each shard as it is read", "lpff-shards index -v shards"),
    ),
    statuses={
        EXIT_DONE: "no index file is missing any more",
        EXIT_DAMAGED: "the folder cannot be written",
        EXIT_BAD_INPUT: "there is no export, or a shard is missing or damaged",
        EXIT_INTERRUPTED: _STOPPED,
    },
)

REPORT = Manual(
    purpose=LOOK_UP,
    summary="See poses, licenses, splits, shards and sample pictures as HTML.",
    examples=(
        Example("Into the export's own folder (report/index.html)", "lpff-shards report shards"),
        Example("Elsewhere, the plots as PNGs in the folder set-plots", "lpff-shards report shards --out set.html"),
        Example("For machines", "lpff-shards report shards --json"),
    ),
    statuses={
        EXIT_DONE: "the report is written; pictures that cannot be read are named in it",
        EXIT_DAMAGED: "it could not be written",
        EXIT_BAD_INPUT: "no export or samples.sqlite is there, or an option is wrong",
        EXIT_INTERRUPTED: _STOPPED,
    },
)

TRACE = Manual(
    purpose=LOOK_UP,
    summary="Find a photo: its shards, its bytes, its author, its license.",
    examples=(
        Example("By a sample's key", "lpff-shards trace lpff_100004356-N06_21795165006_01 shards"),
        Example(
            "By the photo, its page or its author",
            "lpff-shards trace 21795165006 shards\n"
            "lpff-shards trace https://www.flickr.com/photos/jane/21795165006 shards\n"
            'lpff-shards trace "Jane Doe" shards --by author',
        ),
        Example("For machines", "lpff-shards trace 21795165006 shards --json"),
    ),
    statuses={
        EXIT_DONE: "the export knows the name",
        EXIT_DAMAGED: "no match in this export",
        EXIT_BAD_INPUT: "there is no export, or nothing to look it up in, or an option is wrong",
        EXIT_INTERRUPTED: _STOPPED,
    },
)

BENCH = Manual(
    purpose=MEASURE,
    summary="Measure how fast each installed loader reads an export.",
    examples=(
        Example("All loaders that are installed", "lpff-shards bench shards"),
        Example("From a bucket", "lpff-shards bench s3://bucket/shards --seconds 30"),
        Example(
            "One loader, with several numbers of processes",
            "lpff-shards bench shards --loader torch.loader --workers 2 --workers 8",
        ),
        Example(
            "As a trainer reads (large batches, mirrored at random), for longer",
            "lpff-shards bench shards --batch-size 256 --mirror --seconds 30",
        ),
        Example("For machines", "lpff-shards bench shards --json"),
    ),
    statuses={
        EXIT_DONE: "all that are installed were measured",
        EXIT_DAMAGED: "one failed, or there was none",
        EXIT_BAD_INPUT: "there is no export, or an option is wrong",
        EXIT_INTERRUPTED: _STOPPED,
    },
)
