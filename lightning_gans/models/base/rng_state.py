"""The random streams of training, kept in checkpoints: a run that continues draws what was due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_gans.distributed.collectives import all_gather_object
from lightning_gans.rng import stream


def rng_state(random: torch.Generator) -> list[dict[str, Any]]:
    """Where the streams of each process stand, in the order of their ranks, as plain data.

    Of each: its own stream, and torch's, which networks with dropout draw from.
    """
    state = {
        "device": random.device.type,
        "own": random.get_state(),
        "torch": torch.get_rng_state(),
    }
    if random.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(random.device)
    return all_gather_object(state)


def restore_rng(
    saved: Mapping[str, Any], device: torch.device, rank: int, processes: int
) -> torch.Generator:
    """The stream that a process draws from in training; torch's streams are set beside it.

    Every process draws other numbers (Lightning #16166: all would train on the same latents). A run
    that goes on from a checkpoint goes on with its streams, if there are as many processes, on
    the same kind of device; else it draws new numbers, and says so.

    Args:
        saved: a checkpoint's ``random`` and ``global_step``; empty for a new run.
        device: where latents are drawn.
        rank: of this process.
        processes: how many train together.
    """
    made, kept = saved.get("global_step", 0), saved.get("random", [])
    if len(kept) == processes and all(state["device"] == device.type for state in kept):
        random = torch.Generator(device)
        random.set_state(kept[rank]["own"].cpu())
        torch.set_rng_state(kept[rank]["torch"].cpu())
        if "cuda" in kept[rank]:
            torch.cuda.set_rng_state(kept[rank]["cuda"].cpu(), device)
        return random
    if made:
        was = f"{len(kept)} on {kept[0]['device']}" if kept else "unknown"
        rank_zero_warn(
            f"the run goes on in {processes} process(es) on {device.type}, it was {was}: "
            "it draws other latents than it would have drawn, and is not repeated bit for bit"
        )
    purpose = f"training/{made}" if made else "training"
    if processes > 1:
        # all processes have one global stream by now, so that dropout would be the same in each
        torch.manual_seed(stream(f"{purpose}/torch", rank=rank).initial_seed())
    return stream(purpose, rank=rank, device=device)
