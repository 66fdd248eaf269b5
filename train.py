"""``python train.py model=dlsgan`` is ``lightning-gans train model=dlsgan``. See ``--help``."""

from lightning_gans.__main__ import main

if __name__ == "__main__":
    main()
