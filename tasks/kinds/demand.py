"""What a kind of task asks of a recipe before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts.errors import SpecError, nearest

INFERENCE = frozenset({"overlap", "blending", "mirrored"})
"""How windows slide, and whether they are mirrored: what only a kind with windows asks of inference."""


def demand_loss(name: str, possible: Sequence[str], what: str) -> None:
    """Raises SpecError for a recipe's loss that is none of these; `what` is what it would be a loss of."""
    if name not in possible:
        raise SpecError(
            f"No loss '{name}' for {what}. {nearest(name, possible)}Possible: {', '.join(possible)}.",
            case="loss",
            remedy=f"For example --set finetune.loss={possible[0]}.",
        )
