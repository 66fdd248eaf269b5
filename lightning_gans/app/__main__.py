"""``python -m lightning_gans.app RUN``: the command ``app``."""

import sys

from lightning_gans.__main__ import main

if __name__ == "__main__":
    main(["app", *sys.argv[1:]])
