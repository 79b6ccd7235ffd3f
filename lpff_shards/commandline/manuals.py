"""What help says of each command beside its options: a line for the list, examples by task, exit statuses.

Titles stand at the beginning of a line and end in a colon. Tests parse every example.
"""

TOP = r"""
Examples:
  Try it without downloads:
    lpff-shards export --format wds --demo --out shards
  Pack a data set:
    lpff-shards export --format wds --lpff LPFF --out shards
  Pack the set that LPFF's paper trains on, for its trainers:
    lpff-shards export --format zip --lpff LPFF --ffhq FFHQ_512.zip \
        --rebalance lpff --out zips
  Check what was written:
    lpff-shards verify shards
  See what was written (needs the extra: pip install 'lpff-shards[report]'):
    lpff-shards report shards
  Find a photo that was withdrawn:
    lpff-shards trace 21795165006 shards
  Measure how fast it loads here:
    lpff-shards bench shards

Options, more examples and exit statuses: lpff-shards COMMAND --help
"""

EXPORT = r"""Write shards, or the trainers' zip, from data sets.

Examples:
  Try it without downloads:
    lpff-shards export --format wds --demo --out shards
  Pack one data set, as WebDataset or as TFRecords:
    lpff-shards export --format wds --lpff LPFF --out shards
    lpff-shards export --format tfrecord --unsplash-pexels UP.zip --out records
  One share of four, on a machine of its own (the last one finishes):
    lpff-shards export --format wds --lpff LPFF --task 2/4 --out shards
  Into a bucket (credentials and endpoints: docs/cluster.md):
    lpff-shards export --format wds --lpff LPFF --out s3://bucket/faces
  On a Ray cluster, or on one of this machine (docs/cluster.md):
    lpff-shards export --format wds --lpff LPFF --engine ray \
        --ray-address 10.0.0.1:6379 --out shards
  Read from buckets (needs the extra s3, or gcs for gs://):
    lpff-shards export --format wds --lpff s3://bucket/LPFF \
        --ffhq s3://bucket/FFHQ_512.zip --out shards
  Combine data sets:
    lpff-shards export --format wds --ffhq FFHQ_512.zip --lpff LPFF \
        --unsplash-pexels UnsplashPexels --out shards
  The published sets (ffhq_rebalanced, ffhq_lpff_rebalanced):
    lpff-shards export --format wds --ffhq FFHQ_512.zip --rebalance eg3d \
        --num-replicas FFHQ_num_replicas.json --out shards
    lpff-shards export --format wds --ffhq FFHQ_512.zip --lpff LPFF \
        --rebalance lpff --out shards
  Rebalance towards flat poses, by copies or by weights:
    lpff-shards export --format wds --lpff LPFF --rebalance uniform \
        --alpha 0.7 --max-replicas 4 --out shards
    lpff-shards export --format wds --lpff LPFF --rebalance uniform \
        --as weights --out shards
  Leave out all but some licenses, or photos that were withdrawn:
    lpff-shards export --format wds --lpff LPFF --license CC0-1.0,PDM-1.0 \
        --out shards
    lpff-shards export --format wds --lpff LPFF --exclude withdrawn.txt \
        --out shards
  Take withdrawn photos out of shards that were written before:
    lpff-shards export --format wds --lpff LPFF --exclude withdrawn.txt \
        --update --out shards
  Split by author and photo:
    lpff-shards export --format wds --lpff LPFF \
        --splits train=0.96,val=0.02,test=0.02 --out shards
  For TPUs (TFRecords of raw pixels, 128 shards of equal samples):
    lpff-shards export --format tfrecord --lpff LPFF --image raw \
        --resolution 256 --shards 128 --out records
  The zip for EG3D's and StyleGAN's trainers:
    lpff-shards export --format zip --lpff LPFF --ffhq FFHQ_512.zip \
        --rebalance lpff --out zips
    lpff-shards export --format zip --ffhq FFHQ --alignment stylegan \
        --resolution 256 --out zips
  Look first (the plan, for people and for machines):
    lpff-shards export --format wds --lpff LPFF --out shards --dry-run
    lpff-shards export --format wds --lpff LPFF --out shards --dry-run --json
  See the plan, with pictures as they will be written:
    lpff-shards export --format wds --lpff LPFF --out shards --dry-run \
        --report plan.html
  In scripts (prints errors only; bad pictures are left out and counted):
    lpff-shards export --format wds --lpff LPFF --on-error skip --out shards -q

Exit status:
  0    every shard is written, or was there
  1    it could not be finished: a full disk, a killed worker
  2    bad input or options; the error names them
  130  stopped by Ctrl-C or SIGTERM; the same command resumes
"""

VERIFY = r"""Check every checksum, sample and key.

Examples:
  Check what was written or copied:
    lpff-shards verify shards
  Look into the pictures and cameras too:
    lpff-shards verify --deep shards
  In scripts (by the exit status and the faults alone, or as JSON):
    lpff-shards verify -q shards
    lpff-shards verify --json shards
  Print each shard:
    lpff-shards verify -v --workers 4 shards

Exit status:
  0    all is well
  1    something is wrong, and it is named
  2    there is no export to check, or an option is wrong
  130  stopped by Ctrl-C or SIGTERM
"""

INDEX = r"""Write the index files that an export lacks.

Examples:
  Restore index files that are lost:
    lpff-shards index shards
  Which were written, for machines:
    lpff-shards index --json shards
  Print each shard:
    lpff-shards index -v shards

Exit status:
  0    no index file is missing any more
  1    the folder cannot be written
  2    there is no export, or a shard is missing or damaged
  130  stopped by Ctrl-C or SIGTERM
"""

REPORT = r"""See poses, licenses, splits, shards and sample pictures as HTML.

Examples:
  Into the export's own folder (report/index.html):
    lpff-shards report shards
  Elsewhere, the plots as PNGs in the folder set-plots:
    lpff-shards report shards --out set.html
  For machines:
    lpff-shards report shards --json

Exit status:
  0    the report is written; pictures that cannot be read are named in it
  1    it could not be written
  2    no export or samples.sqlite is there, or an option is wrong
  130  stopped by Ctrl-C or SIGTERM
"""

TRACE = r"""Find a photo: its shards, its bytes, its author, its license.

Examples:
  By a sample's key:
    lpff-shards trace lpff_100004356-N06_21795165006_01 shards
  By the photo, its page or its author:
    lpff-shards trace 21795165006 shards
    lpff-shards trace https://www.flickr.com/photos/jane/21795165006 shards
    lpff-shards trace "Jane Doe" shards --by author
  For machines:
    lpff-shards trace 21795165006 shards --json

Exit status:
  0    found
  1    no match in this export
  2    no export or no samples.sqlite there, or an option is wrong
  130  stopped by Ctrl-C or SIGTERM
"""

BENCH = r"""Measure how fast each installed loader reads an export.

Examples:
  All loaders that are installed:
    lpff-shards bench shards
  From a bucket:
    lpff-shards bench s3://bucket/shards --seconds 30
  One loader, with several numbers of processes:
    lpff-shards bench shards --loader torch.loader --workers 2 --workers 8
  As a trainer reads (large batches, mirrored at random), for longer:
    lpff-shards bench shards --batch-size 256 --mirror --seconds 30
  For machines:
    lpff-shards bench shards --json

Exit status:
  0    all that are installed were measured
  1    one failed, or there was none
  2    there is no export, or an option is wrong
  130  stopped by Ctrl-C or SIGTERM
"""
