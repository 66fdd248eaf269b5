"""``python -m lightning_gans.ood``; see ``--help``."""

from lightning_gans.cli.ood import main

if __name__ == "__main__":
    main()
