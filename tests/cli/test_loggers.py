"""The records of an offline run in wandb, and of TensorBoard."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from lightning_gans.cli import main
from tests.support.command_line import small

BLOCK = 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def pieces(content: bytes) -> Iterator[bytes]:
    """The records of wandb's file: LevelDB's log format behind a header of 7 bytes."""
    assert content[:4] in (b":W&B", b"")
    position, record = 7, b""
    while position + 7 <= len(content):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left  # too little for a header: the rest of a block is padding
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        part = content[position + 7 : position + 7 + length]
        if len(part) < length:
            return  # still being written
        position += 7 + length
        if kind in (FULL, FIRST):
            record = b""
        record += part
        if kind in (FULL, LAST):
            yield record


def records(run: Path) -> list[Any]:
    """All records of the one offline run in a folder.

    wandb's service is a separate process and sometimes writes the file only after
    ``wandb.finish()`` has returned: the file is complete when its last record is the run's exit.
    """
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 60
    while True:
        found = []
        for piece in pieces(file.read_bytes()):
            record = getattr(wandb_internal_pb2, "Record")()  # noqa: B009  (made at import)
            record.ParseFromString(piece)
            found.append(record)
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        assert time.monotonic() < deadline, f"{file} has no end after a minute"
        time.sleep(0.1)


def history(found: list[Any]) -> list[dict[str, Any]]:
    rows = [record.history for record in found if record.WhichOneof("record_type") == "history"]
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
        for row in rows
    ]


def test_lightning_19728_and_13382_an_offline_run_holds_config_scalars_on_one_axis_and_pictures(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # without an account
    main([*small(image_folder), "logger=wandb", "trainer.val_check_interval=2"])
    (run,) = (tmp_path / "runs" / "dlsgan" / "folder").iterdir()
    found = records(run)

    config = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in found
        for update in (record.run.config, record.config)
        for item in update.update
    }
    assert config["model"]["init_args"]["latent_dim"] == 6
    assert config["data"]["class_path"] == "lightning_gans.data.Folder"
    assert config.keys().isdisjoint(config["model"]["init_args"])  # no duplicates

    rows = history(found)
    losses = {
        row["trainer/global_step"]: row["generator/latent"]
        for row in rows
        if "generator/latent" in row
    }
    assert list(losses) == [1, 2, 3]
    measured = [row["trainer/global_step"] for row in rows if "latent/loss" in row]
    assert measured == [0, 2, 3]
    for name in ("samples", "reconstructions", "traversals"):
        panels = [row for row in rows if f"images/{name}/filenames" in row]
        assert [row["trainer/global_step"] for row in panels] == [0, 2, 3]
        files = [file for row in panels for file in row[f"images/{name}/filenames"]]
        assert all(list(run.glob(f"wandb/offline-run-*/files/{file}")) for file in files)
    # every scalar is drawn over iterations
    defined = [record.metric for record in found if record.WhichOneof("record_type") == "metric"]
    assert any(
        metric.glob_name == "*" and metric.step_metric == "trainer/global_step"
        for metric in defined
    )


def test_lightning_13524_and_5342_a_resumed_run_stays_one_run_in_wandb(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    main([*small(image_folder), "logger=wandb"])
    (run,) = (tmp_path / "runs" / "dlsgan" / "folder").iterdir()
    main([*small(image_folder), "logger=wandb", "ckpt_path=last", "trainer.max_steps=5"])
    ids = [file.stem.rpartition("-")[2] for file in run.glob("wandb/offline-run-*")]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    main([*small(image_folder), "logger=wandb"])
    another = max((tmp_path / "runs" / "dlsgan" / "folder").iterdir())
    assert another != run
    assert not list(another.glob(f"wandb/offline-run-*{ids[0]}"))


def test_tensorboard_gets_scalars_and_pictures(image_folder: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    main([*small(image_folder), "logger=tensorboard"])
    (run,) = (tmp_path / "runs" / "dlsgan" / "folder").iterdir()
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("discriminator/r1")] == [1, 2, 3]
    assert [event.step for event in events.Images("images/samples")] == [0, 3]
