"""Processes that train together: what they tell each other, and when."""

from lightning_gans.distributed.strategy import GANDDP

__all__ = ["GANDDP"]
