"""``python -m lightning_gans COMMAND ...``; see ``--help``."""

from lightning_gans.cli import main

if __name__ == "__main__":
    main()
