"""The random streams of training in checkpoints, with which a run resumes exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_gans.distributed.collectives import all_gather_object
from lightning_gans.rng import stream


def rng_state(random: torch.Generator) -> list[dict[str, Any]]:
    """The states of all processes' random streams, in the order of ranks, as plain data.

    Each has its own stream, and torch's, from which networks with dropout draw.
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
    """A process's random stream for training; torch's global streams are set as well.

    Every process draws different numbers (Lightning #16166: otherwise all train on the same
    latents). A run that resumes from a checkpoint continues its streams if there are as many
    processes on the same kind of device; otherwise it draws new numbers and warns.

    Args:
        saved: a checkpoint's ``random`` and ``global_step``; empty for a new run.
        device: of the stream.
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
            f"the run resumes in {processes} process(es) on {device.type}, it was {was}: it draws "
            "different latents than an uninterrupted run, and is not reproduced bit for bit"
        )
    purpose = f"training/{made}" if made else "training"
    if processes > 1:
        # the global stream is the same in all processes, and so would dropout be
        torch.manual_seed(stream(f"{purpose}/torch", rank=rank).initial_seed())
    return stream(purpose, rank=rank, device=device)
