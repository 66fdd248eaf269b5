"""What an offline run in wandb has written."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

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
    """All records of the one offline run in a folder."""
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    return records_of(file)


def records_of(file: Path) -> list[Any]:
    """All records of a file of wandb.

    wandb's service is a separate process and sometimes writes the file only after
    ``wandb.finish()`` has returned: the file is complete when its last record is the run's exit.
    """
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


def newest(run: Path) -> list[Any]:
    """The records of the last time that a run was started."""
    files = run.glob("wandb/offline-run-*/run-*.wandb")
    return records_of(max(files, key=lambda path: path.stat().st_mtime_ns))


def of_kind(found: list[Any], kind: str) -> list[Any]:
    """The records of one kind, such as ``alert``."""
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def described(run: Path) -> Any:
    """What the newest run in a folder says of itself."""
    return of_kind(newest(run), "run")[0]


def config_of(found: list[Any]) -> dict[str, Any]:
    """The config of a run."""
    return {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in found
        for update in (record.run.config, record.config)
        for item in update.update
    }


def summary_of(found: list[Any]) -> dict[str, Any]:
    """The summary of a run, at its end; parts of a value are below its name."""
    summary: dict[str, Any] = {}
    for record in of_kind(found, "summary"):
        for item in record.update:
            value = json.loads(item.value_json)
            name = "/".join(item.nested_key) or item.key
            for old in [old for old in summary if old.startswith(f"{name}/")]:
                del summary[old]
            summary[name] = value
    return summary


def stay_offline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let wandb find no account and nothing that is set."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(folder / "home"))
    # wandb reads the environment once: what an earlier test left is forgotten
    wandb.teardown()
