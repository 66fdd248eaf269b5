from __future__ import annotations

from pathlib import Path

from lightning_gans.signatures import current_path, signature


def test_a_class_path_cannot_name_a_source_file_outside_of_the_package(tmp_path: Path) -> None:
    # annotations are evaluated, so the source must be the package's own
    outside = tmp_path / "outside.py"
    outside.write_text("class Outside:\n    def __init__(self, n: int) -> None: ...\n")
    module = f"lightning_gans.{tmp_path}/outside"
    assert signature(module, "Outside") is None
    assert current_path(f"{module}.Outside") == f"{module}.Outside"


def test_a_class_path_of_the_package_is_found() -> None:
    found = signature("lightning_gans.models", "DLSGAN")
    assert found is not None
    assert found.parameters["latent_dim"].range == "whole number from 1 to 65,536"
