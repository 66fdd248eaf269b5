"""Callbacks: averaged weights, evaluation, pictures, checkpoints, progress and predictions."""

from lightning_gans.callbacks.checkpoint import Checkpoint
from lightning_gans.callbacks.compile import Compile
from lightning_gans.callbacks.dashboard import Dashboard
from lightning_gans.callbacks.ema import EMA
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.pictures import Pictures

__all__ = ["EMA", "Checkpoint", "Compile", "Dashboard", "Evaluation", "Pictures"]
