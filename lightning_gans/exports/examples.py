"""Programs for a model's card that use its files without this package: with numpy, or with torch.

They are written into the folder and run as they are: ``python example_onnx.py IMAGE``. Their
pictures go to the current folder, beside the files that are there, and a line names each.
"""

from __future__ import annotations

from typing import NamedTuple

from lightning_gans.data.images import Crop
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Decodes, Encodes, Generates, PredictsLogits
from lightning_gans.priors import Normal, Prior, Traced, Uniform
from lightning_gans.text import printable


class Preparation(NamedTuple):
    """How image files become the images that a model takes.

    Attributes:
        crop: the part that is kept.
        padding: black pixels on each side of images that are smaller by as many.
    """

    crop: Crop = "center"
    padding: int = 0


def example(model: Model, preparation: Preparation, kind: str, has_ood: bool) -> str:
    """The text of a program.

    Args:
        model: the exported one.
        preparation: of its images.
        kind: ``onnx`` or ``torch``.
        has_ood: whether there is an ``ood.json``.
    """
    is_image = len(model.image_shape) == 3
    names = [
        name
        for name, base in (
            ("generator", Decodes),
            ("encoder", Encodes),
            ("classifier", PredictsLogits),
        )
        if isinstance(model, base)
    ]
    blocks = [head(kind, names, is_image, has_ood)]
    if known := class_names(model):
        blocks.append(
            CLASSES.format(names=[[printable(name) for name in label] for label in known])
        )
    if is_image:
        blocks += [prepare(model.image_shape, preparation), PICTURE]
    blocks += functions(model, has_ood)
    blocks.append(main(model, has_ood))
    return "\n\n\n".join(block.strip("\n") for block in blocks) + "\n"


HEAD = {
    "onnx": """# pip install onnxruntime numpy pillow
{imports}
import numpy as np
import onnxruntime
{pillow}
HERE = Path(__file__).parent


def network(name):
    session = onnxruntime.InferenceSession(
        HERE / f"{{name}}.onnx", providers=["CPUExecutionProvider"]
    )
    inputs = [argument.name for argument in session.get_inputs()]
    return lambda *arguments: session.run(None, dict(zip(inputs, arguments)))
""",
    "torch": """# pip install torch numpy pillow
{imports}
import numpy as np
import torch
{pillow}
HERE = Path(__file__).parent


def network(name):
    module = torch.export.load(HERE / f"{{name}}.pt2").module()

    @torch.no_grad()
    def run(*arguments):
        return [found.numpy() for found in module(*map(torch.from_numpy, arguments))]

    return run
""",
}


def head(kind: str, names: list[str], is_image: bool, has_ood: bool) -> str:
    """Imports, and the networks by name."""
    imports = ["import json"] if has_ood else []
    imports += ["import os", "import sys"] if is_image else []
    text = HEAD[kind].format(
        imports="\n".join([*imports, "from pathlib import Path", ""]),
        pillow="from PIL import Image, ImageOps\n" if is_image else "",
    )
    made = "\n".join(f'{name} = network("{name}")' for name in names)
    return f"{text}\n\n{made}"


def prepare(shape: tuple[int, ...], preparation: Preparation) -> str:
    """The function that reads an image file as in training."""
    channels, height, width = shape
    crop, padding = preparation
    pad = (
        f"    if image.size == ({width - 2 * padding}, {height - 2 * padding}):\n"
        f"        image = ImageOps.expand(image, {padding})  # black, as in training\n"
        if padding
        else ""
    )
    if crop == "none":
        box = ""
    elif crop == "center":
        box = (
            "    side = min(image.size)\n"
            "    left, top = (image.width - side) // 2, (image.height - side) // 2\n"
            "    image = image.crop((left, top, left + side, top + side))\n"
        )
    else:
        left, top, right, bottom = crop
        box = (
            f"    image = image.crop(({left}, {top}, image.width - {right}, "
            f"image.height - {bottom}))\n"
        )
        if padding or pad:
            box = f"    else:\n    {box}"
    colours = '    image = image.convert("RGB")\n'
    if channels == 1:
        colours = '    if image.mode != "L":\n        image = image.convert("RGB").convert("L")\n'
    return f'''
def prepare(path):
    """An image file as in training: (1, {channels}, {height}, {width}) in [-1, 1]."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I"):  # 16 bits
        image = ((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8)
        image = Image.fromarray(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
{colours}{pad}{box}    image = image.resize(({width}, {height}), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.float32).reshape({height}, {width}, {channels})
    return (pixels / np.float32(127.5) - 1).transpose(2, 0, 1)[None].copy()
'''


PICTURE = '''
def save(images, name, content):
    """Images in [-1, 1] beside each other, as a new picture in the current folder."""
    pixels = np.clip(images * 127.5 + 128, 0, 255).astype(np.uint8)
    row = np.concatenate(list(pixels.transpose(0, 2, 3, 1)), 1)
    path, number = Path(f"{name}.png"), 1
    while os.path.lexists(path):  # no file is overwritten
        number += 1
        path = Path(f"{name}_{number}.png")
    Image.fromarray(row.squeeze()).save(path)
    print(f"wrote {path.absolute()}: {content}")
'''


CLASSES = '''
# the names of the classes of each label
CLASSES = {names!r}


def number(category, label=0):
    """The number of a class that may be given by its name."""
    return CLASSES[label].index(category) if category in CLASSES[label] else category
'''


def class_names(model: Model) -> tuple[tuple[str, ...], ...]:
    """The names of what the model tells apart or is conditioned on; () if it has none."""
    classes = model.categories.classes if model.categories is not None else ()
    if isinstance(model, PredictsLogits):
        classes = model.classes
    names = model.class_names or ()
    return names if names and tuple(map(len, names)) == tuple(classes) else ()


def draw(prior: Prior) -> str | None:
    """An expression that draws n latents; None for a prior that numpy does not draw."""
    if isinstance(prior, Traced):
        prior = prior.base
    if isinstance(prior, Normal):
        mean, std = prior.mean, prior.variance**0.5
        unit = f"random.standard_normal((n, {prior.dim}), np.float32)"
        return unit if (mean, std) == (0.0, 1.0) else f"{mean!r} + {std!r} * {unit}"
    if isinstance(prior, Uniform):
        low, high = prior.support
        return f"random.uniform({low!r}, {high!r}, (n, {prior.dim})).astype(np.float32)"
    return None


def functions(model: Model, has_ood: bool) -> list[str]:
    """What the model can do, as functions."""
    found = []
    conditional = isinstance(model, Decodes) and model.categories is not None
    if isinstance(model, Generates) and (drawn := draw(model.prior)) is not None:
        signature, extra, text = "n, seed=0", "", "n images."
        if conditional:
            assert model.categories is not None
            classes = model.categories.classes
            signature, text = "n, category, seed=0", "n images of a category."
            named = bool(class_names(model))
            if len(classes) == 1:
                one = "number(category)" if named else "category"
                extra = f"    c = np.eye({classes[0]}, dtype=np.float32)[[{one}] * n]\n"
            else:
                text = f"n images of a category for each of the {len(classes)} labels."
                extra = "    category = [number(c, i) for i, c in enumerate(category)]\n" * named
                extra += (
                    f"    hot = [np.eye(k)[i] for k, i in zip({list(classes)}, category)]\n"
                    "    c = np.tile(np.concatenate(hot), (n, 1)).astype(np.float32)\n"
                )
        found.append(
            f'def generate({signature}):\n    """Draw {text}"""\n'
            f"    random = np.random.default_rng(seed)\n    z = {drawn}\n{extra}"
            f"    return generator(z{', c' if conditional else ''})[0]\n"
        )
    if isinstance(model, Encodes) and isinstance(model, Decodes):
        argument = ", c" if conditional else ""
        found.append(
            f'def reconstruct(x{argument}):\n    """Encode images, and decode their codes."""\n'
            f"    return generator(encoder(x)[0]{argument})[0]\n"
        )
    if has_ood:
        found += [scores(model), PVALUES]
    return ["\n" + text for text in found]


PVALUES = '''
def ood(x):
    """The p-values of images, and which are called OOD: so few images like the held-out ones
    would score as high.
    """
    held_out = np.asarray(OOD["held_out"][OOD["score"]])
    score = np.concatenate([ood_score(x[i : i + 1]) for i in range(len(x))])
    # a held-out image itself scores the same but for rounding
    below = np.searchsorted(held_out, score - 1e-5 * np.abs(score), "left")
    p = (1 + len(held_out) - below) / (1 + len(held_out))
    return p, p <= OOD["false_alarms"]
'''


def scores(model: Model) -> str:
    """The function that computes the scores of ``ood.json`` from the networks' outputs."""
    lines = [
        'OOD = json.loads((HERE / "ood.json").read_text())',
        "",
        "",
        'def ood_score(x, name=OOD["score"]):',
        '    """How anomalous images are; the higher, the more."""',
    ]
    if isinstance(model, Encodes) and isinstance(model, Decodes):
        lines += [
            '    if name == "reconstruction":',
            "        y = generator(encoder(x)[0])[1]",
            "        return np.square(x - y).reshape(len(x), -1).mean(1)",
        ]
        if isinstance(model.prior, Traced):
            lines += [
                "    code = encoder(x)[0]",
                '    variance = np.asarray(OOD["variance"], np.float32)',
            ]
            if model.predicts_variance:
                lines += ['    if name == "nll_own":', "        variance = encoder(x)[1]"]
            lines += [
                '    squares = np.square(code - np.float32(OOD["mean"])) / variance',
                '    if name == "typicality":',
                "        return np.abs(0.5 * (squares - 1).sum(1))",
                '    if name in ("nll", "nll_own"):',
                "        return 0.5 * (squares + np.log(variance) + np.log(2 * np.pi)).sum(1)",
            ]
    if isinstance(model, PredictsLogits):
        lines += [
            "    logits, first, found = classifier(x)[0], 0, []",
            '    for k in OOD["classes"]:',
            "        label = logits[:, first : first + k]",
            "        odds = np.sort(np.exp(label - label.max(1, keepdims=True)), 1)",
            "        others = odds[:, :-1].sum(1)  # without the largest, which is 1",
            "        found.append(others / (1 + others))",
            "        first += k",
            '    if name == "softmax":',
            "        return np.mean(found, 0)",
        ]
    return "\n".join([*lines, '    raise ValueError(f"there is no score {name}")'])


def main(model: Model, has_ood: bool) -> str:
    """What the program does when it is run."""
    conditional = isinstance(model, Decodes) and model.categories is not None
    is_image = len(model.image_shape) == 3
    lines = []
    if isinstance(model, Generates) and draw(model.prior) is not None:
        call = "generate(8)"
        if conditional:
            assert model.categories is not None
            labels = len(model.categories.classes)
            first: list[str | int] = [printable(names[0]) for names in class_names(model)]
            first = first or [0] * labels
            call = f"generate(8, {first[0]!r})" if labels == 1 else f"generate(8, {first!r})"
        content = "8 images, each of a random latent"
        lines.append(
            f'    save({call}, "drawn", "{content}")' if is_image else f"    print({call})"
        )
    if is_image and isinstance(model, Encodes):
        lines += ["    for path in sys.argv[1:]:", "        x = prepare(path)"]
        if isinstance(model, Decodes) and not conditional:
            lines += [
                "        pair = np.concatenate([x, reconstruct(x)])",
                '        save(pair, f"{Path(path).stem}_pair", "the image and its reconstruction")',
            ]
        else:
            lines.append("        print(path, encoder(x)[0])")
    elif is_image and isinstance(model, PredictsLogits):
        lines += [
            "    for path in sys.argv[1:]:",
            "        x = prepare(path)",
            "        print(path, CLASSES[0][classifier(x)[0].argmax()])"
            if len(class_names(model)) == 1
            else "        print(path, classifier(x)[0].argmax(1))",
        ]
    if has_ood and lines and "x = prepare" in "".join(lines):
        lines.append('        print(path, "p-value, called OOD:", *ood(x))')
    if lines and lines[0].endswith("sys.argv[1:]:"):  # nothing is drawn: all it does is to read
        lines[:0] = ["    if not sys.argv[1:]:", '        print("give image files as arguments")']
    return '\nif __name__ == "__main__":\n' + "\n".join(lines or ["    pass"])
