"""The process that measures one loader: `python -m lpff_shards.loaders.bench WORK`."""

from lpff_shards.loaders.bench import main

if __name__ == "__main__":
    main()
