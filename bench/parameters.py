"""How many parameters a method has at the paper's size, trained and frozen, and what each of several optimisers moves."""

from __future__ import annotations

from typing import Any

import torch

from bench.contracts.cards import MethodCard
from bench.contracts.configs import Intensity, Sight, phases
from bench.nets.decoders import build_decoder


def count_parameters(card: MethodCard) -> dict[str, int]:
    """Trainable and frozen parameters at preset full, counted on the meta device (no memory is taken)."""
    config = list(phases(card.full).values())[-1]
    sight = Sight(1, config.crop, (1.5, 1.5, 2.0), Intensity("hu"))
    with torch.device("meta"):
        encoder = card.encoder(config, sight)
        if card.build is not None:
            whole = card.build(card.full if isinstance(card.full, dict) else config, sight)
            encoder = whole.encoder
        else:
            whole = torch.nn.ModuleList(
                [encoder, build_decoder(card.decoder, encoder=encoder, in_channels=1, classes=14)]
            )
    fixed = [p for p in whole.parameters() if not p.requires_grad]
    tables = [
        b
        for key, b in whole.named_buffers()
        if b.is_floating_point() and b.dim() and not key.endswith(("running_mean", "running_var"))
    ]
    return {
        "encoder": sum(p.numel() for p in encoder.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in whole.parameters() if p.requires_grad),
        "frozen": sum(t.numel() for t in (*fixed, *tables)),
        **_moved_by_turns(whole),
    }


def _moved_by_turns(method: Any) -> dict[str, int]:
    """Parameters that each turn of each phase moves, as `phase.turn`, where a method has more than one."""
    turns = [(phase.name, turn) for phase in getattr(method, "phases", ()) for turn in phase.turns]
    if len(turns) < 2:
        return {}
    moved = {f"{phase}.{turn.name}": turn.parameters or method.parameters for phase, turn in turns}
    return {name: sum(p.numel() for p in parameters() if p.requires_grad) for name, parameters in moved.items()}
