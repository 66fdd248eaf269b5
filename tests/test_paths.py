"""Paths that are nearly right."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_gans.paths import near_miss


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("photo", "photos"),
        ("photos/sqare", "photos/square"),
        ("fotos/square", "photos/square"),
        ("fotos/circle", ""),  # of two wrong names, either may be meant
        ("fotos/squar", ""),
        ("unlike", ""),
        ("lst", "last"),
        ("latest", "last"),
        ("photos/lst", ""),
        ("photos/square/lst", ""),
        ("x" * 300, ""),
        ("a\0b", ""),
    ],
)
def test_a_path_with_one_wrong_name_is_answered_with_the_one_that_exists(
    typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos/square").mkdir(parents=True)
    expected = f" (did you mean '{meant}'?)" if meant else ""
    assert near_miss(Path(typed), ("last", "best")) == expected
    if meant != "last":
        whole = f" (did you mean '{tmp_path / meant}'?)" if meant else ""
        assert near_miss(tmp_path / typed) == whole
