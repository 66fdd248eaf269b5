"""How close reconstructions are to their images."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.metrics import PSNR, SSIM
from lightning_gans.models import Generates, Model, Reconstructs


class ReconstructionQuality(Measurement):
    """``psnr`` and ``ssim`` of validation images (``psnr/real``) and of fakes (``psnr/fake``).

    Of models of images that reconstruct; of fakes if they also generate. Images that are smaller
    than the window of SSIM have none.
    """

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Reconstructs) and len(model.image_shape) == 3

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.sides = ("fake", "real") if isinstance(model, Generates) else ("real",)
        self.psnr = {side: PSNR().to(model.device) for side in self.sides}
        height, width = model.image_shape[1:]
        fits = min(height, width) >= SSIM.window
        self.ssim = {side: SSIM().to(model.device) for side in self.sides if fits}
        if not fits:
            self.warn_once(
                f"ssim is not measured: it needs images of at least {SSIM.window}x{SSIM.window} "
                f"pixels, and these have {height}x{width}"
            )

    def update(self, batch: EvaluationBatch) -> None:
        for side in self.sides:
            pair = (
                (batch.images, batch.reconstructions)
                if side == "real"
                else (batch.fakes, batch.fake_reconstructions)
            )
            self.psnr[side].update(*pair)
            if side in self.ssim:
                self.ssim[side].update(*pair)

    def results(self) -> Mapping[str, Tensor]:
        values = {}
        for side in self.sides:
            values[f"psnr/{side}"] = self.psnr[side].compute()
            if side in self.ssim:
                values[f"ssim/{side}"] = self.ssim[side].compute()
        return values
