"""A volume's vector once a report has guided it: what a fused comparison sets beside the report's own.

Source   MG-3D (arXiv 2412.05876), Sec. III-B, the informed volume of Eq. 7; its released code ranks volumes by it
Shapes   V volumes of N tokens, S sentences, all of width W; E features of the vector
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from methods.parts.fusion import FusionStack, all_shown
from methods.parts.heads import TokenPool

NAME = "informed_volume"  # of the attribute that holds it, and so before the names of its tensors


class InformedVolume(nn.Module):
    """The stack that fuses, the pool behind it and the head for contrast: (V, N, W) and (1, S, W) -> (V, E).

    L_CML draws this vector to that of the plain volume (Eq. 7), so both lie in one space.
    """

    def __init__(self, stack: FusionStack, pool: TokenPool, head: nn.Module) -> None:
        super().__init__()
        self.stack, self.pool, self.head = stack, pool, head

    def forward(self, tokens: Tensor, sentences: Tensor) -> Tensor:
        return self.head(self.pool(self.inform(tokens, sentences.expand(len(tokens), -1, -1))))

    def inform(self, tokens: Tensor, guides: Tensor) -> Tensor:
        """(V, N, W) and (V, G, W) -> (V, N, W): the tokens that each volume's own guides have informed."""
        informed, _ = self.stack(tokens, guides, all_shown(tokens), all_shown(guides))
        return informed

    def moves_tokens(self) -> list[nn.Module]:
        """The parts by which `inform` works; the second stream's last layer serves that stream's end alone."""
        stack = self.stack
        return [stack.first, stack.second[: len(stack.first) - 1], stack.first_norm]


def none_without_its_tensors(
    holder: nn.Module, state: Mapping[str, Any], prefix: str, *_: object
) -> None:  # a load_state_dict pre-hook
    """Weights that hold no fusion leave an encoder that does not fuse, rather than one that fuses at random."""
    if not any(name.startswith(f"{prefix}{NAME}.") for name in state):
        setattr(holder, NAME, None)
