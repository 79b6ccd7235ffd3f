"""`python -m lpff_shards`."""

from lpff_shards.cli import main

if __name__ == "__main__":
    main()
