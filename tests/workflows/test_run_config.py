"""A run's config, checked before anything that it names is imported."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lightning_gans.safe_yaml import UnreadableConfig
from lightning_gans.workflows.run_config import vetted_config


def written(folder: Path, content: dict[str, object]) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("section", [None, {}, {"micro_batches": 1}])
def test_accumulation_of_version_0_1_0_is_dropped_where_it_did_nothing(
    section: object, tmp_path: Path
) -> None:
    config = vetted_config(written(tmp_path, {"seed_everything": 3, "accumulation": section}))
    assert config == {"seed_everything": 3}


def test_accumulation_of_version_0_1_0_is_refused_where_it_was_used(tmp_path: Path) -> None:
    file = written(tmp_path, {"accumulation": {"micro_batches": 4}})
    with pytest.raises(UnreadableConfig, match=r"trainer\.devices=N[^\n]*$"):
        vetted_config(file)
