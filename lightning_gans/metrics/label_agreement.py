"""Accuracy of predicted labels, and purity of categories that were found without labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_gans.metrics.average import Average
from lightning_gans.validation import check_tensor


class Accuracy(Average):
    """Share of labels that are predicted correctly, in [0, 1], over all images and labels."""

    higher_is_better = True

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Add predicted class indices, (n,) or (n, labels), and the true ones.

        Raises:
            ValueError: if their numbers differ.
        """
        for values in (predicted, labels):
            check_tensor(values, "predictions and labels")
        if predicted.numel() != labels.numel():
            raise ValueError(
                f"expected as many predictions as labels, got {tuple(predicted.shape)} and "
                f"{tuple(labels.shape)}"
            )
        self.add((predicted.reshape(-1) == labels.reshape(-1)).double())


class Purity(Metric):
    """Share of images whose label is the most common one of their category, in (0, 1].

    It is 1 if no category mixes labels, however many categories there are. For several categorical
    variables or labels, it is the mean over all pairs of one variable and one label.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    found: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("found", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, found: Tensor, labels: Tensor) -> None:
        """Add categories, (n,) or (n, variables), and labels, (n,) or (n, labels).

        Raises:
            ValueError: if they are of different numbers of images.
        """
        for values in (found, labels):
            check_tensor(values, "categories and labels")
        if not found.ndim or not labels.ndim or len(found) != len(labels):
            raise ValueError(
                f"expected categories and labels of as many images, got "
                f"{tuple(found.shape)} and {tuple(labels.shape)}"
            )
        if not len(found):
            return
        self.found.append(found.reshape(len(found), -1))
        self.labels.append(labels.reshape(len(labels), -1))

    def compute(self) -> Tensor:
        """The purity, float64 scalar.

        Raises:
            ValueError: if there are no values.
        """
        if not len(self.found):
            raise ValueError("Purity has no values: call update before compute")
        found, labels = _joined(self.found), _joined(self.labels)
        pairs = [_purity(a, b) for a in found.unbind(1) for b in labels.unbind(1)]
        return torch.stack(pairs).mean()


def _purity(found: Tensor, labels: Tensor) -> Tensor:
    counts = torch.zeros(
        int(found.max()) + 1, int(labels.max()) + 1, dtype=torch.float64, device=found.device
    )
    counts.index_put_((found, labels), counts.new_ones(()), accumulate=True)
    return counts.max(1).values.sum() / len(found)


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    # after a sync of processes, it is one tensor
    return parts if isinstance(parts, Tensor) else torch.cat(parts)
