"""The state of the random generators in checkpoints, so that a run resumes exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_gans.distributed.collectives import all_gather_object
from lightning_gans.rng import stream
from lightning_gans.runs.checkpoints import UnreadableCheckpoint


def rng_state(random: torch.Generator) -> list[dict[str, Any]]:
    """The states of the random generators of all processes, in the order of ranks, as plain data.

    Each process has its own generator, and the global ones of torch, which dropout uses.
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
    saved: Mapping[str, Any], device: torch.device, rank: int, processes: int, origin: str = ""
) -> torch.Generator:
    """A process's random generator for training; torch's global generators are set as well.

    Every process draws different numbers (Lightning #16166: otherwise all train on the same
    latents). A run that resumes from a checkpoint restores its generators if the number of
    processes and the kind of device are the same; otherwise it draws new numbers and warns.

    Args:
        saved: a checkpoint's ``random`` and ``global_step``; empty for a new run.
        device: of the generator.
        rank: of this process.
        processes: the number of processes that train the model.
        origin: the checkpoint's path, for messages.

    Raises:
        UnreadableCheckpoint: if a state is not that of a generator.
    """
    iterations, states = saved.get("global_step", 0), saved.get("random", [])
    if len(states) == processes and all(state["device"] == device.type for state in states):
        random = torch.Generator(device)
        try:
            random.set_state(states[rank]["own"].cpu())
            torch.set_rng_state(states[rank]["torch"].cpu())
            if "cuda" in states[rank]:
                torch.cuda.set_rng_state(states[rank]["cuda"].cpu(), device)
        except (KeyError, RuntimeError) as error:
            reason, file = " ".join(str(error).split()), origin or "the checkpoint"
            raise UnreadableCheckpoint(
                f"{file}: its random generators cannot be restored: {reason:.200}"
            ) from error
        return random
    if iterations:
        before = f"{len(states)} on {states[0]['device']}" if states else "an unknown number"
        rank_zero_warn(
            f"the run resumes with {processes} process(es) on {device.type}, after {before}: it "
            "draws other latents than an uninterrupted run and does not reproduce it bit for bit"
        )
    purpose = f"training/{iterations}" if iterations else "training"
    if processes > 1:
        # otherwise dropout would be the same in all processes
        torch.manual_seed(stream(f"{purpose}/torch", rank=rank).initial_seed())
    return stream(purpose, rank=rank, device=device)
