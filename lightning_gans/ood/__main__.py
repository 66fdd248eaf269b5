"""``python -m lightning_gans.ood score`` is the command ``ood score``; likewise ``table``."""

import sys

from lightning_gans.__main__ import main

if __name__ == "__main__":
    main(["ood", *sys.argv[1:]])
