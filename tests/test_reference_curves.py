"""Every config's first iterations are those of version 0.1.0, in double precision."""

from __future__ import annotations

import json

import pytest

from lightning_gans.cli import CONFIGS
from tests.support.reference_curves import FILE, RUNS, curve


def test_every_config_has_a_curve() -> None:
    assert {path.stem for path in (CONFIGS / "model").glob("*.yaml")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_the_first_iterations_are_those_of_version_0_1_0(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = json.loads(FILE.read_text())[name]
    terms = curve(name)
    assert expected.keys() <= terms.keys()
    for term, values in expected.items():
        assert [step for step, _ in terms[term]] == [step for step, _ in values], term
        again = [value for _, value in terms[term]]
        assert again == pytest.approx([v for _, v in values], rel=1e-9, abs=1e-12), term
