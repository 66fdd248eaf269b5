"""How a model's settings follow from the size of its images. Imports nothing heavy.

The config of each model, such as ``model=dlsgan``, holds the settings for 32x32 grey images. What
has to change with the images is here, and nowhere else. ``docs/own_images.md`` says how it was
measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_gans.ranges import NonNegativeFloat, Width, checked

# a grey image of 32x32, for which the configs of the models hold
REFERENCE_VALUES = 32 * 32
# the weights of gradient penalties, by the names of the models' arguments
PENALTIES = ("r1", "r2")
# from this side on, the generator is one with skips
SKIP_SIDE = 64
# of the networks' feature maps at SKIP_SIDE
CHANNELS, SKIP_MAX_CHANNELS = 16, 256
# its rate: equalised layers take a greater one (thesis, section 4.2.1)
GENERATOR_RATE = 0.003
# of convolutions at 64 pixels: at the 0.001 of 32 pixels they win before the generator learns
DISCRIMINATOR_RATE = 0.0003
# the weight of a variational encoder's prior loss. A model that has one, VAEGAN, trains generator
# and encoder by one optimiser: both are of convolutions, at the rate of the discriminator, since at
# the rate of equalised layers the encoder's variances overflow in ten iterations, and at its own
# equalised layers learn a tenth of what they could
ENCODER_WEIGHT = "regularization"
# of its discriminator from FEATURES_SIDE on: the reconstruction loss compares features, which at
# the rate of the two change sooner than the two learn to match them
FEATURES_SIDE, FEATURES_RATE = 128, 0.0001
# at the published 1 the codes of images that are larger than digits, or in colour, stay noise: the
# loss has a mean over the latent, and the reconstruction loss, a mean over all features, is smaller
PRIOR_LOSS = 0.01
# with a fixed number of images, many updates teach more than large ones; the thesis has 8 as well
BATCH = 8


@checked
def penalty_weight(weight: NonNegativeFloat, image_shape: tuple[Width, ...]) -> float:
    """The weight of a gradient penalty for images of a size, in proportion to their values.

    A discriminator that notices a change of the whole image reacts to each of its n values with
    1/n of its slope, so that the squared norm of its gradient is in proportion to 1/n. The
    published weights follow this within a factor of two: 0.1 for 32x32 digits gives 19.2 for faces
    of 3x256x256, where the thesis has 10 (section 4.2.1).

    Args:
        weight: for 32x32 grey images.
        image_shape: (channels, height, width).

    Returns:
        The weight, to three significant digits.

    Example:
        >>> penalty_weight(0.1, (3, 64, 64))
        1.2
    """
    return float(f"{weight * math.prod(image_shape) / REFERENCE_VALUES:.3g}")


def draws_with_skips(image_shape: tuple[int, ...]) -> bool:
    """Whether the default generator for images of a size is ``SkipGenerator``.

    A generator of convolutions begins, at 64 pixels, with the same image for all latents, and takes
    a thousand iterations to leave it, or saturates. One with skips, which the thesis has for 256
    pixels, draws the coarse image first and learns at once. The discriminator remains one of
    convolutions: it learns codes in a third of the time that one with skips takes.
    """
    return len(image_shape) == 3 and image_shape[-1] >= SKIP_SIDE


@checked
def channels_at(side: Width) -> int:
    """The width of the feature maps at the image's resolution.

    Each doubling of the side above 64 halves it, so that networks of larger images are those of 64
    pixels with one level more for each doubling. A level has as many multiplications as any other:
    they grow with the number of levels, and not with that of pixels.

    Args:
        side: of an image in pixels, a power of 2.

    Example:
        >>> [channels_at(side) for side in (32, 64, 128, 256)]
        [16, 16, 8, 4]
    """
    return min(CHANNELS, CHANNELS * SKIP_SIDE // side)


def image_shape_of(resolution: object, channels: object) -> tuple[int, int, int] | None:
    """The shape of square images as options give it; None if these are no numbers of pixels."""
    try:
        side, depth = int(str(resolution)), int(str(channels))
    except ValueError:
        return None
    return (depth, side, side) if side > 0 and depth > 0 else None


def last_set(sections: Sequence[object], name: str) -> tuple[int, object] | None:
    """Which of some sections of config files sets an argument last, and its value there."""
    found = None
    for index, section in enumerate(sections):
        if isinstance(section, dict) and name in section:
            found = index, section[name]
    return found
