"""Words of a command line are cut at the first equals sign and lose nothing."""

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


def cut(*words: str) -> list[tuple[str, str | None]]:
    return list(split_key_values(words))


@given(pairs)
def test_every_way_of_writing_a_value_gives_that_value(given_pairs: list[tuple[str, str]]) -> None:
    assert cut(*(f"{key}={value}" for key, value in given_pairs)) == given_pairs
    dashed = [(f"--{key}", value) for key, value in given_pairs]
    dashed = [(key, value) for key, value in dashed if key not in SWITCHES]
    assert cut(*(f"{key}={value}" for key, value in dashed)) == dashed
    assert cut(*(word for pair in dashed for word in pair)) == dashed


@given(pairs, keys, st.sampled_from(SWITCHES))
def test_words_that_stand_alone_do_not_take_what_follows(
    given_pairs: list[tuple[str, str]], word: str, switch: str
) -> None:
    written = [f"{key}={value}" for key, value in given_pairs]
    assert cut(word, switch, *written) == [(word, None), (switch, None), *given_pairs]


@given(pairs, keys)
def test_an_option_at_the_end_needs_a_value(given_pairs: list[tuple[str, str]], key: str) -> None:
    option = f"--{key}"
    if option not in SWITCHES:
        with pytest.raises(UsageError, match=rf"{option} has no value"):
            cut(*(f"{name}={value}" for name, value in given_pairs), option)


@given(st.lists(keys, min_size=1, max_size=6), st.data())
def test_what_is_suggested_is_known(known: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(known))
    assert suggestion(word, known) == f" (did you mean '{word}'?)"
    assert suggestion(word, []) == ""
    hint = suggestion(f"{word}x", known)
    assert hint in {"", *(f" (did you mean '{name}'?)" for name in known)}
