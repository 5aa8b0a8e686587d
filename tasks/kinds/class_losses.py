"""Losses of a classification by name; each takes logits (B, K) and labels, (B,) classes or (B, K) answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.kinds.demand import demand_loss


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Mean cross-entropy over samples."""
    return F.cross_entropy(logits.float(), label)


def cross_entropy_by_class(logits: Tensor, label: Tensor) -> Tensor:
    """The mean over all K classes of each class's mean cross-entropy in the batch; an absent class counts as 0.

    Source: AR's code for RICORD, which divides by two whatever the batch holds. Looks at the batch as a whole.
    Example: losses 1 and 3 of class 0 and none of class 1 give (2 + 0) / 2 = 1.
    """
    each = F.cross_entropy(logits.float(), label, reduction="none")
    hot = F.one_hot(label, logits.shape[1]).to(each.dtype)  # (B, K)
    return ((hot * each[:, None]).sum(0) / hot.sum(0).clamp(min=1)).mean()


def binary_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Per sample the sum over its known answers of the binary cross-entropy, divided by K; then the mean over samples.

    An answer of -1 is not told and teaches nothing. Example: one answer of two known, its loss 0.8, gives 0.4.
    """
    known = (label >= 0).float()
    each = F.binary_cross_entropy_with_logits(logits.float(), label.clamp(min=0).float(), reduction="none")
    return ((each * known).sum(1) / logits.shape[1]).mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": cross_entropy,
    "ce_by_class": cross_entropy_by_class,
    "bce": binary_cross_entropy,
}
WHOLE_BATCH = frozenset({"ce_by_class"})


def loss_named(name: str, *, multilabel: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of that name. Raises SpecError for one that is not there or does not fit the labels."""
    fitting = [key for key in LOSSES if (key == "bce") == multilabel]
    demand_loss(name, fitting, f"{'several answers' if multilabel else 'one class'} per case")
    return LOSSES[name]


def probabilities(logits: Tensor, *, multilabel: bool) -> Tensor:
    """Softmax over classes, or one sigmoid per answer; float64, (B, K)."""
    wide = logits.double()
    return torch.sigmoid(wide) if multilabel else torch.softmax(wide, 1)
