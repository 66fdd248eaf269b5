"""Options that follow from others: networks from their widths, and settings from the images' size.

What a user, an experiment or another config file sets is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_gans.cli.grammar import read_config
from lightning_gans.safe_yaml import subsection
from lightning_gans.scaling import (
    BATCH,
    CHANNELS,
    DISCRIMINATOR_RATE,
    ENCODER_WEIGHT,
    FEATURES_RATE,
    FEATURES_SIDE,
    GENERATOR_RATE,
    PENALTIES,
    PRIOR_LOSS,
    REFERENCE_VALUES,
    SKIP_MAX_CHANNELS,
    channels_at,
    draws_with_skips,
    image_shape_of,
    last_set,
    penalty_weight,
)
from lightning_gans.signatures import current_path, signature


def name_networks(settings: Sequence[str], content: Sequence[Mapping[str, Any]]) -> list[str]:
    """Options that set the default networks for ``model.generator.channels=32`` without a class."""
    points = any("Gaussians" in str(found.get("data")) for found in content)
    named = []
    for part, network in (("generator", "Generator"), ("discriminator", "Discriminator")):
        chosen = any(s.startswith(f"--model.{part}=") for s in settings) or any(
            subsection(subsection(found, "model"), "init_args").get(part) for found in content
        )
        if not chosen and any(s.startswith(f"--model.{part}.") for s in settings):
            kind = "MLP" if points else "Conv"
            named.append(f"--model.{part}=lightning_gans.networks.{kind}{network}")
    return named


def fit_to_images(
    settings: Sequence[str], files: Sequence[Path], content: Sequence[Mapping[str, Any]], own: Path
) -> list[str]:
    """Options that fit a model's config to the size of the images (:mod:`lightning_gans.scaling`).

    What the user, an experiment or another config file sets is left as it is. Widths that are
    typed without a class are those of the networks that fit.

    Args:
        settings: the typed options.
        files: the config files, in order.
        content: of each.
        own: the file of the model.
    """
    shape = size_of_images(settings, content)
    if shape is None:
        return []
    models = [subsection(subsection(found, "model"), "init_args") for found in content]

    def is_open(name: str, value: tuple[int, object] | None) -> bool:
        """Whether nobody but the model's file sets an argument."""
        typed = any(is_argument(s.partition("=")[0], "model", name) for s in settings)
        return not typed and (value is None or files[value[0]] == own)

    fitted = []
    for penalty in PENALTIES:
        value = last_set(models, penalty)
        if value is not None and isinstance(value[1], float) and is_open(penalty, value):
            weight = penalty_weight(value[1], shape)
            fitted += [f"--model.{penalty}={weight:g}"] if weight != value[1] else []
    path = subsection(read_config(own), "model").get("class_path")
    module, _, name = current_path(str(path)).rpartition(".")
    model = signature(module, name)
    known = model.parameters if model is not None else {}
    players = ("generator", "discriminator")
    has_both = all(player in known for player in players)
    plays = has_both and any(p in known for p in PENALTIES)
    typed_keys = {s.partition("=")[0].replace(".init_args.", ".") for s in settings}
    # options of the discriminator are of the class that it has anyway; both generators have widths
    of_another = {k for k in typed_keys if k.startswith("--model.generator.")} - {
        f"--model.generator.{width}" for width in ("channels", "max_channels")
    }
    chosen = bool(of_another) or any(
        last_set(models, player) or f"--model.{player}" in typed_keys for player in players
    )
    if not has_both or chosen or math.prod(shape) <= REFERENCE_VALUES:
        return fitted
    if ENCODER_WEIGHT in known and is_open(ENCODER_WEIGHT, last_set(models, ENCODER_WEIGHT)):
        fitted.append(f"--model.{ENCODER_WEIGHT}={PRIOR_LOSS:g}")
    if not draws_with_skips(shape):
        return fitted
    channels = channels_at(shape[-1])
    # those that are not the networks' defaults
    widths = {f"--model.{p}.channels": channels for p in players if channels != CHANNELS}
    if ENCODER_WEIGHT in known or not plays:
        rate = DISCRIMINATOR_RATE
        discriminator_rate = FEATURES_RATE if plays and shape[-1] >= FEATURES_SIDE else rate
    else:
        rate, discriminator_rate = GENERATOR_RATE, DISCRIMINATOR_RATE
        fitted.append("--model.generator=lightning_gans.networks.SkipGenerator")
        widths["--model.generator.channels"] = channels
        widths["--model.generator.max_channels"] = SKIP_MAX_CHANNELS
    fitted += [f"{key}={value}" for key, value in widths.items() if key not in typed_keys]
    rates = [subsection(subsection(found, "optimizer"), "init_args") for found in models]
    if is_open("optimizer.lr", last_set(rates, "lr")) and is_open("optimizer", None):
        fitted.append(f"--model.optimizer.lr={rate:g}")
        shared = last_set(models, "discriminator_optimizer") is None
        if discriminator_rate != rate and shared and not any(map(is_rate, settings)):
            option = f"--model.discriminator_optimizer.lr={discriminator_rate:g}"
            fitted += [*name_optimizer([option], content), option]
    data = [subsection(subsection(found, "data"), "init_args") for found in content]
    typed = any(is_argument(s.partition("=")[0], "data", "batch_size") for s in settings)
    if plays and not typed and last_set(data, "batch_size") is None:
        fitted.append(f"--data.batch_size={BATCH}")
    return fitted


def is_rate(option: str) -> bool:
    """Whether an option sets the discriminator's optimiser, rather than its network."""
    return option.startswith("--model.discriminator_optimizer")


def in_short(options: Sequence[str]) -> str:
    """The options of :func:`fit_to_images` without widths and classes that follow from others."""
    shown = [option.removeprefix("--model.").removeprefix("--") for option in options]
    names = [option.replace("lightning_gans.networks.", "") for option in shown]
    hidden = ("generator.max_channels=", "discriminator_optimizer=")
    return ", ".join(name for name in names if not name.startswith(hidden))


def size_of_images(
    settings: Sequence[str], content: Sequence[Mapping[str, Any]]
) -> tuple[int, int, int] | None:
    """The shape of the images, if their data have a resolution that can be chosen."""
    sections = [subsection(found, "data") for found in content]
    paths = [path for section in sections if (path := section.get("class_path"))]
    module, _, name = current_path(str(paths[-1])).rpartition(".") if paths else ("", "", "")
    data = signature(module, name)
    if data is None or "resolution" not in data.parameters:
        return None
    size: list[object] = []
    for argument in ("resolution", "channels"):
        typed = [
            value
            for key, _, value in (setting.partition("=") for setting in settings)
            if is_argument(key, "data", argument)
        ]
        set_to = last_set([subsection(section, "init_args") for section in sections], argument)
        parameter = data.parameters.get(argument)
        # data without the argument are in colour
        default = "3" if parameter is None else parameter.default
        size.append(typed[-1] if typed else set_to[1] if set_to else default)
    return image_shape_of(*size)


def is_argument(key: str, section: str, name: str) -> bool:
    """Whether an option sets an argument of a section's class."""
    return key in (f"--{section}.{name}", f"--{section}.init_args.{name}")


def name_optimizer(settings: Sequence[str], content: Sequence[Mapping[str, Any]]) -> list[str]:
    """An option that sets the class for ``discriminator_optimizer.lr=0.1``: the generator's."""
    key = "--model.discriminator_optimizer"
    models = [subsection(subsection(found, "model"), "init_args") for found in content]
    named = any(s.startswith(f"{key}=") for s in settings) or any(
        model.get("discriminator_optimizer") for model in models
    )
    if named or not any(s.startswith(f"{key}.") for s in settings):
        return []
    classes = [subsection(model, "optimizer").get("class_path") for model in models]
    return [f"{key}={next(filter(None, reversed(classes)), 'lightning_gans.optimizers.AdamW')}"]
