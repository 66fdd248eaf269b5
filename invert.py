"""``python invert.py ckpt=RUN data=mnist`` is ``lightning-gans invert ...``. See ``--help``."""

from lightning_gans.__main__ import main

if __name__ == "__main__":
    main(command="invert")
