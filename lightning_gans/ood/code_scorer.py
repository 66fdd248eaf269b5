"""Scores by codes, and by what the generator makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from torch import Tensor

from lightning_gans.models import InfoGAN, Model
from lightning_gans.ood.reading import reader
from lightning_gans.ood.scorer import Scorer, Ways
from lightning_gans.ood.scores import feature_error, latent_nll, reconstruction_error, typicality
from lightning_gans.priors import Traced


class CodeScorer(Scorer):
    """Of models that encode (thesis, section 4.3).

    ``nll`` and ``typicality`` of the unscaled code under the traced variance, if one is traced of
    this encoder, come from its one pass; so does ``nll_own``, under the variance that InfoGAN
    predicts. ``reconstruction``, of pixels that are not clipped, takes a pass of the generator;
    ``feature_error``, given only if asked for, that and a second pass of the encoder.
    """

    def __init__(self, model: Model, names: Sequence[str] | None = None) -> None:
        self._read = reader(model)
        super().__init__(model, names)

    @property
    def offered(self) -> tuple[str, ...]:
        return (*self.standard, "feature_error")

    @property
    def standard(self) -> tuple[str, ...]:
        # an Encoder's prior may hold a v too, which is of the codes of another network
        if "ood_score" not in self.model.verbs or not isinstance(self.model.prior, Traced):
            return ("reconstruction",)
        own = ("nll_own",) if isinstance(self.model, InfoGAN) else ()
        return ("nll", "typicality", *own, "reconstruction")

    def _look(self, x: Tensor) -> Ways:
        seen, prior = self._read(x), self.model.prior
        code, variance = seen.code, seen.variance

        @cache
        def again() -> Tensor:
            y: Tensor = self.model.generator(code * prior.scale())
            return y

        ways = {
            "reconstruction": lambda: reconstruction_error(x, again()),
            "feature_error": lambda: feature_error(seen.features, self._read(again()).features),
        }
        if isinstance(prior, Traced):
            mean, v = prior.mean, prior.v
            ways["nll"] = lambda: latent_nll(code, mean, v)
            ways["typicality"] = lambda: typicality(code, mean, v)
        if variance is not None:
            ways["nll_own"] = lambda: latent_nll(code, prior.mean, variance)
        return ways
