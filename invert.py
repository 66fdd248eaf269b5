"""Recover the latents of images: ``python invert.py ckpt=RUN data=mnist``. See ``--help``."""

from lightning_gans.cli import invert

if __name__ == "__main__":
    invert()
