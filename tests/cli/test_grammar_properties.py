"""Arguments are split at the first equals sign without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_gans.cli.grammar import SWITCHES, split_key_values, suggestion
from lightning_gans.errors import UsageError

names = st.text("abz_", min_size=1, max_size=4)
keys = st.lists(names, min_size=1, max_size=3).map(".".join)
values = st.text("a0=-. '\"\n[]{},:é", max_size=12)
pairs = st.lists(st.tuples(keys, values), max_size=6)


def split(*argv: str) -> list[tuple[str, str | None]]:
    return list(split_key_values(argv))


@given(pairs)
def test_every_way_of_writing_a_value_gives_that_value(given_pairs: list[tuple[str, str]]) -> None:
    assert split(*(f"{key}={value}" for key, value in given_pairs)) == given_pairs
    dashed = [(f"--{key}", value) for key, value in given_pairs]
    dashed = [(key, value) for key, value in dashed if key not in SWITCHES]
    assert split(*(f"{key}={value}" for key, value in dashed)) == dashed
    assert split(*(part for pair in dashed for part in pair)) == dashed


@given(pairs, keys, st.sampled_from(SWITCHES))
def test_arguments_without_a_value_do_not_consume_the_next_one(
    given_pairs: list[tuple[str, str]], argument: str, switch: str
) -> None:
    written = [f"{key}={value}" for key, value in given_pairs]
    assert split(argument, switch, *written) == [(argument, None), (switch, None), *given_pairs]


@given(pairs, keys)
def test_an_option_at_the_end_needs_a_value(given_pairs: list[tuple[str, str]], key: str) -> None:
    option = f"--{key}"
    if option not in SWITCHES:
        with pytest.raises(UsageError, match=rf"{option} has no value"):
            split(*(f"{name}={value}" for name, value in given_pairs), option)


@given(st.lists(keys, min_size=1, max_size=6), st.data())
def test_suggestions_are_known_names(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    assert suggestion(name, known) == f" (did you mean '{name}'?)"
    assert suggestion(name, []) == ""
    hint = suggestion(f"{name}x", known)
    assert hint in {"", *(f" (did you mean '{other}'?)" for other in known)}
