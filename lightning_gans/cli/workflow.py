"""Commands that are functions: options, ranges, choices and help come from the signature.

A command ``ood score`` is the function ``ood_score`` of the module of that name in ``workflows``.
The command line is first checked against its source, which takes a fraction of a second; then the
function is imported and called.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_gans.cli.grammar import (
    SWITCHES,
    Groups,
    Repeated,
    existing_config,
    split_key_values,
    suggestion,
)
from lightning_gans.cli.options import SECTIONS, option_help, problem
from lightning_gans.errors import UsageError
from lightning_gans.freed_memory import keep_freed_memory
from lightning_gans.paths import is_file, typed_path
from lightning_gans.quick_imports import quick_imports
from lightning_gans.runs.layout import find_checkpoint, keep_settings
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import (
    PACKAGE,
    Parameter,
    Signature,
    signature,
    snake_case,
    subclasses,
)
from lightning_gans.text import printable, printable_lines
from lightning_gans.threads import NAMES, fitted, split_threads

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from lightning_gans.workflows.outcome import Outcome

# what commands call a run or a checkpoint in it: those that read no weights take a run
RUNS = ("ckpt", "run", "runs")
# accepted synonyms of options
SYNONYMS = {
    "ckpt_path": "ckpt",
    "regulariser": "regularizer",
    "regularizer.weight": "weight",
    "calibration": "data",
    "score": "scores",
    "fold": "data.fold",
    "strangest": "most_anomalous",
    "ood.sets": "sets",
    # a word that no parameter can have
    "from": "low",
    "to": "high",
}


@dataclass
class Request:
    """A parsed command line.

    Attributes:
        presets: files of options, in order.
        sections: for each parameter that a config file sets, its content as JSON.
        values: for each option, dotted or not, the last typed value, or all if it is repeatable.
        switches: options without a value.
        repeated: keys that were typed twice.
    """

    presets: list[Path] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    switches: list[str] = field(default_factory=list)
    repeated: Repeated = field(default_factory=Repeated)


def workflows() -> dict[str, Signature]:
    """The commands that are functions, by their names, with a space where the function has "_"."""
    found = {}
    outcomes = ["Outcome", *subclasses("lightning_gans.workflows.outcome", "Outcome")]
    for file in sorted((PACKAGE / "workflows").glob("*.py")):
        workflow = signature(f"lightning_gans.workflows.{file.stem}", file.stem)
        if workflow is not None and workflow.returns in outcomes:
            found[file.stem.replace("_", " ")] = workflow
    return found


def typed_name(command: str, known: Signature) -> str:
    """A command as its own examples write it, such as ``ood score`` or ``wandb-view``."""
    hyphened = command.replace(" ", "-")
    return hyphened if f"lightning-gans {hyphened}" in known.description else command


def run(command: str, argv: Sequence[str], groups: Groups) -> int:
    """Run a command.

    Args:
        command: one of :func:`workflows`.
        argv: the arguments after it.
        groups: of config files.

    Returns:
        The exit status.

    Raises:
        UsageError: for an unknown name, option, file or value, with the known ones.
        UserError: for what cannot be done, in one line.
    """
    known = workflows()[command]
    if {"-h", "--help"} & set(argv) or (not argv and needs_arguments(known)):
        print(usage(command, known, groups))
        return 0
    argv, threads = split_threads(argv)
    request = parse_request(argv, known.parameters, groups)
    missing = [
        name
        for name, parameter in known.parameters.items()
        if parameter.default is None and name not in request.values
        if name not in request.sections and not request.presets
    ]
    if missing:
        text = known.parameters[missing[0]].text
        raise UsageError(f"no {missing[0]} is named; give {missing[0]}=VALUE: {text}")
    for note in request.repeated.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    processes = request.values.get("devices", ["1"])[-1]
    keep_freed_memory()
    with fitted(threads, int(processes) if processes.isdecimal() else 1):
        return call(command, known, request)


def needs_arguments(known: Signature) -> bool:
    """Whether a command does nothing without arguments: the first one has no value by default."""
    return next(iter(known.parameters.values())).default in (None, "None")


def parse_request(
    argv: Sequence[str], parameters: Mapping[str, Parameter], groups: Groups
) -> Request:
    """Parse a command line; check its names and files.

    Raises:
        UsageError: for an unknown name, option or file, with the known ones.
    """
    request = Request()
    named: dict[str, str] = {}  # config files of groups that are no parameters
    for argument, value in split_key_values(argv):
        if argument.partition("=")[0] in SWITCHES:
            request.switches.append(argument)
            continue
        key, typed = argument.removeprefix("--"), value
        if typed is None or is_path(argument, typed, parameters, groups):
            whole = argument if typed is None else f"{argument}={typed}"
            key, typed = positional(whole, parameters, request)
        key = synonym(key, parameters)
        head, dot, _ = key.partition(".")
        if key == "config":
            request.presets.append(existing_config(typed))
        elif head in groups and not dot:
            file = groups.find(head, typed)
            if head not in parameters:
                request.presets.append(file)
                named[head] = typed
                continue
            section = read_mapping(file).get(head)
            if not section:
                raise UsageError(f"{file} has no section '{head}'")
            request.sections[head] = json.dumps(section)
        elif head not in parameters:
            raise unknown_option(key, parameters, groups)
        elif not typed and not dot:
            raise UsageError(f"{key}= has no value: write {key}=VALUE, or leave it out")
        elif parameters[head].repeatable:
            request.values.setdefault(key, []).append(typed)
        else:
            request.repeated.add(key, typed)
            request.values[key] = [typed if dot else class_path_value(parameters[head], typed)]
    check_presets(named, parameters, groups)
    if "data_changes" in parameters and "data" not in request.sections:
        # without data=, dotted keys change the data of the run
        request.values = {data_change_key(k): v for k, v in request.values.items()}
    check_parts(request, parameters)
    check_types(request, parameters)
    return request


def find_newest(command: str, argv: Sequence[str]) -> list[str]:
    """The arguments with the path of the checkpoint that ``ckpt=last`` or ``ckpt=best`` means.

    Commands that read no weights take a run, and look it up themselves: it may have no checkpoint.

    Args:
        command: one of :func:`workflows`.
        argv: the arguments after it.

    Raises:
        UsageError: if there is no run.
    """
    if {"-h", "--help"} & set(argv):
        return list(argv)
    parameters = workflows()[command].parameters
    found: list[str] = []
    option = ""  # of "--ckpt last", whose value is the next argument
    for argument in argv:
        key, equals, kind = argument.partition("=")
        if not equals:
            # "last" alone is the value of the first parameter
            key, kind = option or next(iter(parameters)), argument
        name = synonym(key.removeprefix("--"), parameters)
        if kind in ("last", "best") and name == "ckpt":
            path = find_checkpoint(kind, {}, option="ckpt")
            print(printable(f"ckpt={kind}: {path}"), file=sys.stderr)
            found.append(str(path) if option else f"{key}={path}")
        else:
            found.append(argument)
        takes_next = not option and not equals and argument.startswith("-")
        option = argument if takes_next and argument not in SWITCHES else ""
    return found


def positional(
    argument: str, parameters: Mapping[str, Parameter], request: Request
) -> tuple[str, str]:
    """The key and value of an argument without a key: it is the value of the first parameter.

    Raises:
        UsageError: if that has a value already.
    """
    key = next(iter(parameters))
    if key in request.values and not parameters[key].repeatable:
        raise UsageError(
            f"expected key=value or --key=value, got '{argument}'; {key} is "
            f"{request.values[key][-1]} already"
        )
    return key, argument


def is_path(key: str, value: str, parameters: Mapping[str, Parameter], groups: Groups) -> bool:
    """Whether ``key=value`` is a path with an equals sign in it, such as a checkpoint's."""
    if key.startswith("-") or "/" in key:
        return not key.startswith("-")
    head = synonym(key, parameters).partition(".")[0]
    return (
        not (head in parameters or head in groups or head == "config")
        and bool(value)
        and is_file(typed_path(f"{key}={value}"))
    )


def check_parts(request: Request, parameters: Mapping[str, Parameter]) -> None:
    """Refuse options of a class that is not named, such as ``regularizer.draws`` alone.

    Raises:
        UsageError: with the classes that exist.
    """
    for key in request.values:
        head, dot, _ = key.partition(".")
        known = choices(parameters[head])
        named = head in request.values or head in request.sections or request.presets
        if dot and known and not named:
            raise UsageError(f"{key} needs {head}=NAME as well; NAME is one of {', '.join(known)}")


def check_types(request: Request, parameters: Mapping[str, Parameter]) -> None:
    """Refuse values that are not of their types, typed or in a file of settings.

    Raises:
        UsageError: with the option, what was expected and what was given.
    """
    given: list[tuple[str, object, Path | None]] = [
        (key, value, None) for key, values in request.values.items() for value in values
    ]
    for file in request.presets:
        given += [(key, value, file) for key, value in read_mapping(file, aliases=True).items()]
    for key, value, where in given:
        hint = parameters[key].hint if key in parameters and not parameters[key].repeatable else str
        complaint = problem(value, hint)
        if complaint is not None:
            raise UsageError(f"{key}: {complaint}" + (f" (in {where})" if where else ""))


def check_presets(
    named: Mapping[str, str], parameters: Mapping[str, Parameter], groups: Groups
) -> None:
    """Refuse config files of a training, such as ``model=dlsgan``, where a run has all that.

    Args:
        named: the name of the config file for each group that is no parameter.
        parameters: of the command.
        groups: of config files.

    Raises:
        UsageError: with the newest run of that model and those data, if there is one.
    """
    for group, name in named.items():
        others = set(SECTIONS) & read_mapping(groups.find(group, name)).keys() - parameters.keys()
        if not others:
            continue
        option = next((run for run in RUNS if run in parameters), None)
        narrows = {g: n for g, n in named.items() if g in ("model", "data")}
        if option is None or not narrows:
            raise UsageError(
                f"{group}={name} sets {', '.join(sorted(others))}, which this command does not "
                "have; leave it out"
            )
        run = "FOLDER"
        with suppress(UsageError):  # there is none
            run = str(find_checkpoint("last", narrows).parents[1])
        words = " ".join(f"{g}={n}" for g, n in narrows.items())
        raise UsageError(
            f"{words}: this command looks for no run by its model or data; name the run's folder "
            f"instead: {shlex.quote(f'{option}={run}')}"
        )


def data_change_key(key: str) -> str:
    """``data_changes.root`` for ``data.root``; other keys as they are."""
    return f"data_changes.{key.removeprefix('data.')}" if key.startswith("data.") else key


def synonym(key: str, parameters: Mapping[str, Parameter]) -> str:
    """The option that a key stands for; the key itself if it is not a synonym."""
    head, dot, rest = key.partition(".")
    found = SYNONYMS.get(key) or f"{SYNONYMS.get(head, head)}{dot}{rest}"
    if found in RUNS:
        found = next((name for name in RUNS if name in parameters), key)
    return found if found.partition(".")[0] in parameters else key


def class_path_value(parameter: Parameter, value: str) -> str:
    """A value as jsonargparse expects it: the name of a class becomes its import path.

    Raises:
        UsageError: for an unknown name, with the known ones.
    """
    classes = parameter.classes()
    if not classes or "." in value or value in parameter.choices:
        return value
    if snake_case(value) in parameter.choices:
        return snake_case(value)
    if value in ("none", "null"):
        return "null"
    by_class = {path.rpartition(".")[2]: path for path in classes.values()}
    if value in classes or value in by_class:
        return classes.get(value) or by_class[value]
    known = choices(parameter)
    raise UsageError(
        f"there is no {parameter.name} '{value}'{suggestion(value, known)}; "
        f"there are {', '.join(known)}"
    )


def choices(parameter: Parameter) -> list[str]:
    """The names that an option accepts, if they can be listed."""
    return list(dict.fromkeys([*parameter.classes(), *parameter.choices]))


def unknown_option(key: str, parameters: Mapping[str, Parameter], groups: Groups) -> UsageError:
    """The error for an option that does not exist."""
    known = list(dict.fromkeys([*parameters, "trust", NAMES[0]]))
    head, dot, rest = key.partition(".")
    hint = suggestion(head, known, after=dot + rest)
    return UsageError(
        f"there is no option '{key}'{hint}; options are {', '.join(known)}, and dotted keys such "
        "as data.root"
    )


def call(command: str, known: Signature, request: Request) -> int:
    """Import the workflow, build its arguments and call it.

    Raises:
        UsageError: for an invalid value.
    """
    name = command.replace(" ", "_")
    with quick_imports():
        from lightning_gans.cli.errors import in_own_code, one_line, refusals  # noqa: PLC0415
        from lightning_gans.compat import no_subconfigs, option_names  # noqa: PLC0415

        function = getattr(import_module(known.module), name)
    parser = make_parser(command, function)
    try:
        with no_subconfigs():
            settings = parser.parse_args([*parser_arguments(request, known.parameters)])
    except argparse.ArgumentError as error:
        raise in_own_code(error) or one_line(str(error), option_names(parser)) from error
    if request.switches:
        print(parser.dump(settings, skip_unset=False))
        return 0
    with refusals():
        built = parser.instantiate_classes(settings)
    arguments = {key: built[key] for key in known.parameters}
    with keep_settings(parser.dump(settings, skip_unset=False)):
        outcome: Outcome = function(**arguments)
    if str(outcome):
        print(printable_lines(outcome))
    return outcome.exit_status


def make_parser(command: str, function: Callable[..., Outcome]) -> ArgumentParser:
    """The parser of jsonargparse for a workflow's signature."""
    from jsonargparse import ArgumentParser  # noqa: PLC0415  (heavy)

    parser = ArgumentParser(prog=command, exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(function)
    return parser


def parser_arguments(request: Request, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """The arguments of jsonargparse: presets, then whole sections, then values inside them."""
    for file in request.presets:
        yield f"--config={file}"
    for name, section in request.sections.items():
        yield f"--{name}={section}"
    for key in sorted(request.values, key=lambda key: "." in key):
        values = request.values[key]
        repeatable = "." not in key and parameters[key].repeatable
        yield f"--{key}={json.dumps(values) if repeatable else values[-1]}"


def usage(command: str, known: Signature, groups: Groups) -> str:
    """What ``COMMAND --help`` prints."""
    first = f" {next(iter(known.parameters))}=VALUE" if needs_arguments(known) else ""
    lines = [
        f"lightning-gans {typed_name(command, known)}{first} [key=value ...]",
        "",
        known.summary,
    ]
    if known.description:
        lines += ["", known.description]
    lines.append("")
    for name, parameter in known.parameters.items():
        text = [parameter.text]
        accepted = groups.names(name) if name in groups else choices(parameter)
        if accepted:
            text.append(f"One of {', '.join(accepted)}.")
        elif parameter.range is not None:
            text.append(f"A {parameter.range}.")
        default = (parameter.default or "").strip("'").replace("None", "")
        lines += option_help(f"{name}={default}", " ".join(text))
    for group in presets(known.parameters, groups):
        lines += option_help(f"{group}=", f"a file of settings: {groups.listing(group)}.")
    lines += option_help("threads=", "threads that compute; as many as fit the machine.")
    lines += option_help("trust=", "your own modules whose classes a checkpoint may name.")
    return "\n".join(lines)


def presets(parameters: Mapping[str, Parameter], groups: Groups) -> list[str]:
    """The groups whose files set options of a command."""
    others = [group for group in groups.all() if group not in parameters]
    return [group for group in others if sets_nothing_else(group, parameters, groups)]


def sets_nothing_else(group: str, parameters: Mapping[str, Parameter], groups: Groups) -> bool:
    """Whether the files of a group set options of a command, and no other.

    The first file that does ends the search: reading all takes longer than the rest of the help.
    """
    sets = False
    for name in groups.names(group):
        # help does not depend on a file that is broken
        with suppress(UsageError):
            keys = read_mapping(groups.find(group, name)).keys()
            if keys - parameters.keys():
                return False
            sets = sets or bool(keys)
    return sets
