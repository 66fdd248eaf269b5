"""The files of pinned versions are those that the bounds in pyproject.toml mean."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lightning_gans.cli import CONFIGS

ROOT = CONFIGS.parent


def requirements(*extras: str) -> dict[str, Requirement]:
    """What pyproject.toml requires, by name, with some extras."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = [re.search(rf"^{name} = \[(.*?)\]$", text, re.M | re.S) for name in extras]
    lists.append(re.search(r"^dependencies = \[(.*?)^\]$", text, re.M | re.S))
    found = [
        Requirement(line) for part in lists if part for line in re.findall(r'"(.+?)"', part[1])
    ]
    return {canonicalize_name(each.name): each for each in found}


def pins(file: str) -> dict[str, Version]:
    """The versions in a file of constraints, by name."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize(
    ("file", "extras"), [("constraints.txt", ["dev"]), ("constraints-oldest.txt", ["dev", "app"])]
)
def test_what_was_tested_is_what_is_allowed(file: str, extras: list[str]) -> None:
    needed, tested = requirements(*extras), pins(file)
    assert len(needed) > 20
    assert needed.keys() <= tested.keys()
    refused = [
        f"{each}: {tested[name]}"
        for name, each in needed.items()
        if tested[name] not in each.specifier
    ]
    assert not refused


def test_the_lowest_version_that_is_allowed_was_tested() -> None:
    tested = pins("constraints-oldest.txt")
    for name, each in requirements("dev", "app").items():
        lowest = [Version(bound.version) for bound in each.specifier if bound.operator == ">="]
        assert lowest in ([], [tested[name]]), f"{each}: {tested[name]} was tested"
