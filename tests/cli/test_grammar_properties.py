"""Arguments are split without loss, and whatever is typed is parsed or refused in one line."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gans.cli import one_line_errors, split_command, train, workflow
from lightning_gans.cli.errors import one_line, type_label
from lightning_gans.cli.grammar import SWITCHES, Groups, split_key_values, suggestion
from lightning_gans.errors import UsageError
from lightning_gans.runs.layout import run_scope
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping
from lightning_gans.trust import split_trust

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


# what a shell can pass: any text, also bytes that are not UTF-8, but no zero byte
characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
anything = st.text(characters | st.sampled_from("\udc80\udcff\n\x1b~=-./"), max_size=8)
options = st.sampled_from(
    [
        *("model", "data", "trainer", "logger", "experiment", "--config", "config", "ckpt_path"),
        *("seed_everything", "optimizer.lr", "trainer.max_steps", "model.latent_dim", "logger.x"),
        *("ckpt", "images", "out", "scores", "regularizer", "data.root", "attack", "device"),
    ]
)
pieces = st.sampled_from(
    [
        *("~", "/", ".", "..", ".yaml", ".yml", "dlsgan", "gaussians", "mnist5k", "last", "best"),
        *(
            "null",
            "true",
            "1",
            "-1",
            "1e400",
            "[",
            "{",
            "=",
            " ",
            "--help",
            "wasserstein",
            "x" * 300,
        ),
    ]
)
typed = st.lists(pieces | anything, max_size=3).map("".join)
words = st.one_of(
    typed,
    st.builds("{}={}".format, options, typed),
    st.builds("--{}={}".format, options, typed),
    st.builds("{}{}{}".format, typed, st.sampled_from(["=", ".", ""]), typed),
)
arguments = st.lists(words, max_size=4)
KNOWN = workflow.workflows()


def outcome(parse: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> int | str | None:
    """The status with which a command line that ``parse`` reads ends; None if it is accepted."""
    try:
        with one_line_errors(), run_scope():
            parse()
    except SystemExit as ended:
        message = capsys.readouterr().err
        assert message.startswith("error: "), message
        assert len(message.splitlines()) == 1, message
        # a terminal breaks no line at it and obeys none of it
        kinds = {unicodedata.category(letter) for letter in message.removesuffix("\n")}
        assert not kinds & {"Cc", "Cs", "Zl", "Zp"}, message
        return ended.code
    return None


@settings(max_examples=50)
@given(argv=arguments, command=st.sampled_from(sorted(train.COMMANDS)))
def test_whatever_is_typed_to_train_is_parsed_or_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], command: str
) -> None:
    parse: list[Callable[[], object]] = [
        lambda: train.parse_command(command, argv, Groups()),
        lambda: train.parse_command(command, ["model=dlsgan", *argv], Groups()),
    ]
    for read in parse:
        assert outcome(read, capsys) in (None, 2)


@settings(max_examples=50)
@given(argv=arguments, command=st.sampled_from(sorted(KNOWN)))
def test_whatever_is_typed_to_a_workflow_is_parsed_or_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], command: str
) -> None:
    known = KNOWN[command].parameters
    assert outcome(lambda: workflow.parse_request(argv, known, Groups()), capsys) in (None, 2)
    assert outcome(lambda: split_command(argv, "train"), capsys) in (None, 2)


@given(pairs, st.lists(st.sampled_from(["a", "a.b", "mine.networks"]), max_size=3), st.data())
def test_trusted_modules_are_found_between_all_other_arguments(
    given_pairs: list[tuple[str, str]], modules: list[str], data: st.DataObject
) -> None:
    others = [f"{key}={value}" for key, value in given_pairs]
    argv = list(others)
    for module in reversed(modules):  # each before those that are there already
        form = data.draw(st.sampled_from([["trust={}"], ["--trust={}"], ["--trust", "{}"]]))
        argv[:0] = [word.format(module) for word in form]
    assert split_trust(argv) == (others, tuple(modules))


@given(anything | words)
def test_only_names_of_modules_are_trusted(text: str) -> None:
    try:
        _, modules = split_trust([f"trust={text}"])
    except UsageError:
        return
    assert all(part.isidentifier() for module in modules for part in module.split("."))


@settings(max_examples=50)
@given(st.lists(anything | words | st.just("Expected a "), max_size=5).map("\n".join), names)
def test_whatever_a_parser_complains_of_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], message: str, option: str
) -> None:
    def refuse() -> None:
        raise one_line(message, [option])

    assert outcome(refuse, capsys) == 2
    assert isinstance(type_label(message), str)


yaml_pieces = st.sampled_from(
    [
        *(
            "a: ",
            "b: ",
            "- ",
            "\n",
            "\n  ",
            "[",
            "]",
            "{",
            "}",
            "&x ",
            "*x",
            "<<: ",
            "|\n",
            "? ",
            "#",
        ),
        *("!!int ", "!!float ", "!!binary ", "!!timestamp ", "!!python/name:os.system ", "!own "),
        *("0x_", "1:99", "2000-13-01", ".inf", "1e999", "a", "é", "'", '"', "null", "~", "---\n"),
    ]
)


@settings(max_examples=100)
@given(
    st.binary(max_size=30)
    | anything.map(os.fsencode)
    | st.lists(yaml_pieces, max_size=8).map("".join).map(str.encode)
)
def test_a_config_of_any_bytes_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    for aliases in (True, False):
        with contextlib.suppress(UnreadableConfig):
            found = read_mapping(file, aliases)
            assert all(type(key) is str for key in found)
            assert repr(found) == repr(yaml.safe_load(content.decode()) or {})  # NaN is not NaN


@pytest.mark.parametrize("text", ["a: !!int", "!!float", "a: !!timestamp", "a: !!timestamp 1"])
def test_a_config_with_a_type_and_no_value_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    assert outcome(lambda: read_mapping(file), capsys) == 2


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text("a0:-#'\"é \n", max_size=6),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(keys, part, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, plain, max_size=4))
def test_settings_are_read_as_they_were_written(
    tmp_path: Path, sections: dict[str, object]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(sections, allow_unicode=True), encoding="utf-8")
    assert read_mapping(file) == sections


@pytest.mark.parametrize("argument", ["--config={}", "model={}.yaml", "data={}.yaml", "{}.yaml=1"])
@pytest.mark.parametrize("name", ["~nobody of this name/mine", "x" * 300, "~"])
def test_a_home_folder_of_nobody_and_a_name_that_is_too_long_are_files_that_do_not_exist(
    capsys: pytest.CaptureFixture[str], name: str, argument: str
) -> None:
    argv = [argument.format(name)]
    assert outcome(lambda: train.parse_command("train", argv, Groups()), capsys) == 2


def test_a_folder_named_like_a_home_of_nobody_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "~nobody of this name"  # quiet_place makes it the working folder
    folder.mkdir()
    (folder / "mine.yaml").write_text("model: {class_path: DLSGAN}\n", encoding="utf-8")
    parsed = train.parse_command("train", [f"--config={folder.name}/mine.yaml"], Groups())
    assert parsed.names["model"] == "mine"
