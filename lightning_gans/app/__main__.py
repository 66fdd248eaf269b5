"""``python -m lightning_gans.app RUN``."""

from lightning_gans.app.page import main

if __name__ == "__main__":
    main()
