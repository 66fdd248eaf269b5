"""What makes reading command lines and configs faster gives what the slower way gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonargparse import _actions, _subcommands, _util
from lightning.pytorch.cli import LightningCLI

from lightning_gans import compat, yaml_loader
from lightning_gans.cli import CONFIGS, lightning, main
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping
from tests.support.command_line import BRIEF

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["1e-3", "~"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read_by_each(text: str) -> list[str]:
    """What the loaders make of a text; for an error, that it is one."""
    found = []
    for kind in yaml_loader._LOADERS:
        try:
            found.append(repr(yaml_loader._load(kind, text, 50, True)))  # NaN is not NaN
        except Exception:
            found.append("an error")
    return found


@given(VALUES, st.sampled_from([True, False, None]))
def test_libyaml_reads_what_python_reads(value: Any, flow: bool | None) -> None:
    for text in (yaml.safe_dump(value, default_flow_style=flow), yaml.safe_dump(value, width=20)):
        assert len(set(read_by_each(text))) == 1, text


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda file: file.stem)
def test_every_config_is_read_as_python_reads_it(file: Path) -> None:
    (found,) = {*read_by_each(file.read_text())}
    assert found != "an error"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: 1\nb:\n\t- 2\n", "line 3 begins with a tab"),
        ("a: [1, 2\nb: 3\n", "line 2"),
        ("a: 1\na: 2\n", "duplicate key 'a'"),
        ("a: &x 1\nb: *x\n", "aliases are not allowed"),
        (f"a: {'[' * 60}{']' * 60}\n", "levels of nesting"),
    ],
)
def test_a_mistake_in_a_config_is_told_as_python_tells_it(
    content: str, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(UnreadableConfig, match=reason):
        read_mapping(file)


@given(st.text("ab. _", max_size=6))
@example("items")  # the name of a method
@example("a.keys")
def test_a_key_is_looked_up_as_jsonargparse_does(key: str) -> None:
    quick = jsonargparse.Namespace._parse_key
    filled = jsonargparse.dict_to_namespace({"a": {"b": 1}, "b": 2})
    for space in (filled.a, filled):
        for _ in range(2):  # the second time it is known
            found = []
            for look_up in (quick, quick.__wrapped__):  # type: ignore[attr-defined]  # a wrapper
                try:
                    leaf, parent, above = look_up(space, key)
                    found.append((leaf, None if parent is None else id(parent), above))
                except KeyError as error:
                    found.append((str(error), None, ""))
            assert found[0] == found[1]


def test_a_run_has_the_arguments_and_options_that_lightning_and_jsonargparse_find(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0

    def keep_arguments(cli: LightningCLI, command: str, *groups: str) -> None:
        nonlocal compared
        compat.keep_arguments(cli, command, *groups)
        kept = cli.config_dump
        del cli.config_dump
        cli._dump_config()
        assert kept == {group: cli.config_dump[group] for group in groups}
        find = _subcommands.find_action_and_subcommand
        slow = find.__wrapped__  # type: ignore[attr-defined]  # a wrapper
        names = [action.dest for action in cli._subcommand_parsers[command]._actions]
        for name in [command, *(f"{command}.{name}" for name in names), *names, "help", "nothing"]:
            assert find(cli.parser, name) == slow(cli.parser, name)
            assert find(cli.parser, name, _actions.ActionConfigFile) == slow(
                cli.parser, name, _actions.ActionConfigFile
            )
            compared += 1

    monkeypatch.setattr(lightning, "keep_arguments", keep_arguments)
    words = ["model.r1=1e-3", "model.generator.channels=2", "model.discriminator.channels=2"]
    main(["model=dlsgan", "data=mnist5k", "evaluation.features=null", *words, *BRIEF])
    assert compared > 50


@pytest.mark.parametrize(
    "kind", [int, Path, jsonargparse.Namespace, LightningCLI, UnreadableConfig]
)
def test_import_paths_are_those_that_jsonargparse_finds(kind: type) -> None:
    quick = _util.get_import_path
    for _ in range(2):
        assert quick(kind) == quick.__wrapped__(kind)  # type: ignore[attr-defined]  # a wrapper


def test_a_jsonargparse_with_other_names_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jsonargparse._subcommands")
    monkeypatch.delattr(jsonargparse.Namespace, "_parse_key")
    compat._look_up_few_options()
    compat._split_dotted_keys_alone()
    assert not hasattr(jsonargparse.Namespace, "_parse_key")
