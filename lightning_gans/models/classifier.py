"""Classifier: the discriminator's network, trained on labels."""

from __future__ import annotations

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lightning_gans.labels import cross_entropy, one_hot
from lightning_gans.models.base.capabilities import ClassifiesByFeatures
from lightning_gans.models.base.model import Batch, Model
from lightning_gans.models.base.requirements import require_labels
from lightning_gans.networks import DiscriminatorFactory, build_discriminator
from lightning_gans.optimizers import AdamW
from lightning_gans.ranges import Width


class Classifier(Model, ClassifiesByFeatures):
    """Backbone, rectifier, linear layer; minimises the cross-entropy (thesis, section 4.3).

    The baseline for OOD scores: the energy of its logits, with features that ReAct clips. Several
    labels are classified at once, binary ones as two classes; the loss is the mean over labels.
    The digit classifier of the metrics is a ``Classifier`` on ``DigitBackbone``.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        classes: how many classes each label of the data has.
        num_features: width of the layer before the logits, which is the backbone's code.
        discriminator: makes the backbone from (image_shape, scores, code_dim), with no scores;
            without, convolutions for images and fully connected layers for points.
        optimizer: makes an optimiser from parameters.

    Raises:
        ValueError: if the data have no labels.
    """

    players = ("classifier",)
    uses_labels = True

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...],
        num_features: Width = 256,
        discriminator: DiscriminatorFactory | None = None,
        optimizer: OptimizerCallable = AdamW,
    ) -> None:
        super().__init__(optimizer)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.classes = tuple(image_shape), require_labels("Classifier", classes)
        self.backbone = build_discriminator(
            discriminator, self.image_shape, scores=0, code_dim=num_features
        )
        self.head = nn.Linear(num_features, sum(self.classes))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """The cross-entropy of the labels, in nats."""
        x, y = batch
        c = one_hot(y, self.classes, x.dtype, check=False)

        with self.turn("classifier") as minimize:
            minimize(classification=cross_entropy(self.class_logits(x), c, self.classes).mean())

    def activations(self, x: Tensor) -> Tensor:
        """The features of x, (n, num_features); unchecked, gradients flow."""
        code: Tensor = self.backbone(x).code
        return code.relu()

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The classes and logits of a batch."""
        x, _ = batch
        return {"class": self.classify(x), "logits": self.logits(x)}
