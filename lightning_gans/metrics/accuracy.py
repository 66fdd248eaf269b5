"""How predicted labels and found categories agree with the labels of the data."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_gans.metrics.average import Average


class Accuracy(Average):
    """Share of labels that are predicted right, in [0, 1]; of several labels the mean share."""

    higher_is_better = True

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Take in class indices, (n,) or (n, labels), and the true ones.

        Raises:
            ValueError: if they are not as many.
        """
        if predicted.numel() != labels.numel():
            raise ValueError(
                f"expected as many predictions as labels, got {tuple(predicted.shape)} and "
                f"{tuple(labels.shape)}"
            )
        self.add((predicted.reshape(-1) == labels.reshape(-1)).double())


class Purity(Metric):
    """Share of images whose label is the commonest one of their category, in (0, 1].

    It is 1 if no category mixes labels, however many categories there are. For several kinds of
    categories or labels, the mean over all pairs of a kind of each.
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
        """Take in categories, (n,) or (n, kinds), and labels, (n,) or (n, kinds).

        Raises:
            ValueError: if they are not of as many images.
        """
        if len(found) != len(labels):
            raise ValueError(
                f"expected categories and labels of as many images, got {len(found)} and "
                f"{len(labels)}"
            )
        self.found.append(found.reshape(len(found), -1))
        self.labels.append(labels.reshape(len(labels), -1))

    def compute(self) -> Tensor:
        """The purity, float64 scalar.

        Raises:
            ValueError: if nothing was given.
        """
        if not len(self.found):
            raise ValueError("Purity was given nothing: update before compute")
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
    # after a reduction over processes it is one tensor already
    return parts if isinstance(parts, Tensor) else torch.cat(parts)
