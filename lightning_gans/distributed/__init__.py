"""Data-parallel training: collective operations, and the strategy that uses them."""

from lightning_gans.distributed.strategy import GANDDP

__all__ = ["GANDDP"]
