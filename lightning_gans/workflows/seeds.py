"""Latents of numbered seeds, and the images of latents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.models import Decodes, Generates
from lightning_gans.models.base.load import load
from lightning_gans.priors import Categories, truncate
from lightning_gans.ranges import shown
from lightning_gans.rng import stream

# how many images are generated at once. Always as many: the last bits of a result may depend on it
BATCH = 16
# how many names an error lists
NAMED = 20


class Latents(NamedTuple):
    """What images are generated from.

    Attributes:
        z: (n, latent_dim).
        c: the conditions of a class-conditional model, (n, sum(classes)); otherwise None.
    """

    z: Tensor
    c: Tensor | None = None


def draw(
    model: Generates,
    seed: int,
    numbers: Sequence[int],
    category: Sequence[int] | None = None,
    truncation: float | None = None,
) -> Latents:
    """The latents of images of a seed.

    Each image has a random stream of its own, which depends on the seed and its number alone, and
    its category another one: an image is the same however many are drawn, and a category that is
    given does not change the latent.

    Args:
        model: on the CPU, whose draws are the same on every machine.
        seed: of all of them.
        numbers: of the images.
        category: of all of them, a class for each label; drawn from P(C) by default.
        truncation: the bound of :func:`lightning_gans.priors.truncate`; none by default.

    Raises:
        UserError: if the prior cannot be truncated.
    """
    z, c = [], []
    for number in numbers:
        random = stream(f"generate/{number}", seed)
        drawn = model.prior.sample(1, random)
        z.append(drawn if truncation is None else truncate(model.prior, drawn, truncation, random))
        if model.categories is not None:
            choice = stream(f"generate/{number}/category", seed)
            c.append(condition(model.categories, category, choice))
    return Latents(torch.cat(z), torch.cat(c).detach() if c else None)


def condition(
    categories: Categories, category: Sequence[int] | None, random: torch.Generator
) -> Tensor:
    """One condition, (1, sum(classes)): of a category, or drawn."""
    if category is None:
        return categories.sample(1, random)
    return categories.condition(category, 1)


def decoded(model: Decodes, latents: Latents) -> Iterator[Tensor]:
    """The images of latents in batches, (at most BATCH, *image_shape), on the CPU.

    The last batch is filled up, so that an image is the same to the last bit however many others
    follow it.

    Raises:
        InputError: if an image is not finite.
    """
    n, device = len(latents.z), model.prior.device
    for start in range(0, n, BATCH):
        rows = torch.arange(start, start + BATCH).clamp(max=n - 1)
        z = latents.z[rows].to(device)
        c = None if latents.c is None else latents.c[rows].to(device)
        x = model.decode(z, c)[: n - start].cpu()
        if not x.isfinite().all():
            raise InputError("the model makes images that are not finite; it has diverged")
        yield x


def load_generating(checkpoint: Path, ckpt: str) -> Generates:
    """A trained model that generates, on the CPU.

    Args:
        checkpoint: its file.
        ckpt: how it was named, for messages.

    Raises:
        UserError: if it does not generate.
    """
    model = load(checkpoint)
    if not isinstance(model, Generates):
        raise UserError(
            f"{ckpt} holds {with_article(type(model).__name__)}, which does not generate images; "
            "give the checkpoint of a model that does"
        )
    return model


def with_article(noun: str) -> str:
    """A noun with its article.

    >>> with_article("Autoencoder"), with_article("GAN")
    ('an Autoencoder', 'a GAN')
    """
    return f"{'an' if noun[:1] in 'AEIOU' else 'a'} {noun}"


def parse_category(model: Decodes, category: str | None) -> list[int] | None:
    """The class of each label that ``category=`` names; None if it names none.

    Args:
        model: class-conditional, if a category is given.
        category: a name or number, or one for each label, separated by commas.

    Raises:
        UsageError: if the model has no such category.
    """
    if category is None:
        return None
    if model.categories is None:
        raise UsageError(
            f"category={category}: {type(model).__name__} is not class-conditional; leave it out"
        )
    typed, classes = str(category), model.categories.classes
    # a name may have a comma
    words = [word.strip() for word in typed.split(",")] if len(classes) > 1 else [typed.strip()]
    if len(words) != len(classes):
        raise UsageError(
            f"category={shown(category)}: expected the class of each of {len(classes)} labels, "
            f"separated by commas, such as {','.join('0' for _ in classes)}"
        )
    # of an Elastic InfoGAN, categories are not the classes of the data
    named = model.class_names or ()
    names = named if tuple(map(len, named)) == classes else [()] * len(classes)
    return [
        index_of("category", word, count, own)
        for word, count, own in zip(words, classes, names, strict=True)
    ]


def category_names(model: Decodes, category: Sequence[int]) -> str:
    """A category in words, such as "star", or "3" of a model without names."""
    names = model.class_names or ()
    known = model.categories is not None and tuple(map(len, names)) == model.categories.classes
    return ", ".join(
        names[label][index] if known else str(index) for label, index in enumerate(category)
    )


def index_of(option: str, word: str, count: int, names: Sequence[str]) -> int:
    """The number of something that is named, or numbered from 0; a name that is a number wins.

    Capital letters count only between names that differ by nothing else.

    Args:
        option: its name, for messages.
        word: a name or number.
        count: how many there are.
        names: of all, in order; empty if they have none.

    Raises:
        UsageError: if there is no such number or name.
    """
    word = unicodedata.normalize("NFC", word)
    if word in names:
        return list(names).index(word)
    # int() reads digits of all alphabets
    if re.fullmatch("[0-9]{1,9}", word) and int(word) < count:
        return int(word)
    alike = [i for i, name in enumerate(names) if name.casefold() == word.casefold()]
    if len(alike) == 1:
        return alike[0]
    known = ""
    if names:
        listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
        known = f" or one of {listed},"
    lower = {name.casefold(): name for name in names}
    close = [lower[name] for name in get_close_matches(word.casefold(), list(lower), n=1)]
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise UsageError(
        f"{option}={shown(word)}: expected a number from 0 to {count - 1},{known} got "
        f"{shown(word)}{hint}"
    )
