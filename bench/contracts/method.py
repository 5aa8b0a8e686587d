"""The plug for a method: what it must offer so that the one training loop can pre-train it and any task can use its encoder.

Shapes: B volumes of C channels and D x H x W voxels. A batch is a dict of tensors; a loss is a dict of named scalars that are
already weighted; the loop adds them.

Longer than 250 lines because it is all that whoever writes a method must know, and is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from bench.contracts.configs import MethodConfig, PhaseConfig, Shape3, Sight, Spacing
from bench.contracts.errors import EncoderMismatch
from bench.contracts.pictures import Picture

Batch = dict[str, Tensor]
Arrays = dict[str, np.ndarray[Any, Any]]
Losses = dict[str, Tensor]
Sample = tuple[str, ...]


class Corpus(Protocol):
    """The volumes a phase draws from, as the cache holds them: (C, D, H, W), int16 HU or float16, canonical order."""

    cases: tuple[str, ...]
    sight: Sight

    def shape(self, case: str) -> Shape3: ...
    def spacing(self, case: str) -> Spacing | None: ...
    def read(self, case: str, start: Shape3, size: Shape3) -> np.ndarray[Any, Any]:
        """The box of a case; what lies outside the volume is filled with the least value the intensity knows."""
        ...

    def fields(self, case: str) -> Mapping[str, Any]:
        """What else the corpus offers of a case: `report`, `label`, `modality`."""
        ...


Draw = Callable[[Corpus, int, int, int], Sequence[Sample]]
"""(corpus, batch size, step, seed) -> the samples of that step. Pure, so a loader's position is the step number."""

Views = Callable[[Corpus, Sample, np.random.Generator], Arrays]
"""(corpus, sample, generator) -> named arrays, stacked over the batch by the loader; runs in loader workers."""


@dataclass(frozen=True)
class Turn:
    """One optimiser's part of a step: its loss and the parameters it moves (None: all that require gradients).

    `rates` maps the beginning of a parameter's name (`encoder.`) to a factor on the config's learning rate; others take 1.
    `watched` names the scalars that `loss` returns to be looked at: they stand in the log and count nothing.
    """

    name: str
    loss: Callable[[Batch], Losses]
    parameters: Callable[[], Iterable[nn.Parameter]] | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()

    def counted(self, losses: Losses) -> Losses:
        """The losses that are summed and trained on."""
        return {name: value for name, value in losses.items() if name not in self.watched}


@dataclass(frozen=True)
class Phase:
    """One stretch of training with its own config, key and checkpoint.

    `splits_batch` True means the loss is a mean over samples, so that a micro-batch gives the same gradient. Where it does
    not, `gathers` says that the loss itself asks all devices for what it needs of the whole batch: several devices may
    then share a batch, each its part in one piece.
    """

    name: str
    config: PhaseConfig
    draw: Draw
    views: Views
    turns: tuple[Turn, ...]
    splits_batch: bool = True
    gathers: bool = False


@dataclass(frozen=True)
class Features:
    """What an encoder gives: maps fine to coarse [(B, channels[i], D_i, H_i, W_i)] and one pooled vector (B, F)."""

    maps: list[Tensor]
    pooled: Tensor


@dataclass(frozen=True)
class Adopted:
    """What became of a weight file: names that matched, were reshaped, stayed new, were dropped."""

    matched: tuple[str, ...]
    reshaped: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    elements: int

    def summary(self) -> str:
        counts = [f"{len(getattr(self, part))} {part}" for part in ("matched", "reshaped", "new", "dropped")]
        return f"{', '.join(counts)}; {self.elements:,} numbers taken over"


class Encoder(nn.Module):
    """What survives pre-training. `channels[i]` and `strides[i]` describe map i, fine to coarse; `pooled_width` is F.

    Built by `card.encoder(config, sight)`; no Method is needed.
    """

    channels: tuple[int, ...]
    strides: tuple[Shape3, ...]
    pooled_width: int

    def forward(self, volume: Tensor) -> Features:
        raise NotImplementedError

    def pooled(self, volume: Tensor) -> Tensor:
        """The pooled vector (B, F) alone, where no map is needed. Default: `forward`'s."""
        features: Features = self(volume)
        return features.pooled

    def beside_pooled(self) -> list[nn.Module]:
        """Modules of `forward` that the pooled vector does not depend on: what they norm binds no classifier. Default: none."""
        return []

    def layers(self) -> list[nn.Module]:
        """The modules from input to output, for layer-wise decay. Parameters in none of them count as the first layer."""
        raise NotImplementedError

    def at_head(self) -> list[nn.Module]:
        """Modules that learn at the head's rate (a final norm), behind the last layer or among `layers` too. Default: none."""
        return []

    def image_vector(self, volume: Tensor) -> Tensor:
        """(B, C, D, H, W) in network range -> (B, E): one vector per volume in the space of `describe`, of any length.

        Only where the method's card offers `text`; similarity of the two is their cosine.
        """
        raise NotImplementedError

    @property
    def reads_text(self) -> bool:
        """Whether this encoder has `describe` and `image_vector`."""
        return type(self).describe is not Encoder.describe

    def describe(self, texts: Sequence[str]) -> Tensor:
        """(T, E): one vector per report or prompt, on the encoder's device, never trained by a task.

        Only where the method's card offers `text`. What it needs (tokeniser, text encoder, projection) is part of the
        encoder and of its stored weights, so that a fine-tuning knows no more than the encoder file.
        """
        raise NotImplementedError

    @property
    def fuses(self) -> bool:
        """Whether this encoder has `seen`, `informed`, `guides`, `fused` and `fusing`: a text may meet a volume before the two are
        compared."""
        return False

    def seen(self, volume: Tensor) -> Tensor:
        """(B, C, D, H, W) in network range -> (B, N, W): what `informed` needs of each volume, to be kept for many texts."""
        raise NotImplementedError

    def informed(self, seen: Tensor, text: str) -> Tensor:
        """(B, N, W) -> (B, E): the vector of each volume once this one text has guided it, in the space of `image_vector`."""
        raise NotImplementedError

    def guides(self, texts: Sequence[str]) -> Tensor:
        """(T, W): what guides a volume in `fused` where each of T texts speaks of it."""
        raise NotImplementedError

    def fused(self, seen: Tensor, guides: Tensor) -> Tensor:
        """(B, N, W) and (B, G, W) -> (B, N, W): each volume's tokens once its own G texts have guided them, with gradients."""
        raise NotImplementedError

    def fusing(self) -> list[nn.Module]:
        """The modules by which `fused` works, and no others: what learns where fusion does and the towers do not."""
        raise NotImplementedError

    def declared(self) -> frozenset[str]:
        """Names of this encoder's tensors that pre-training must provide, and that a frozen encoder keeps. Default: all."""
        return frozenset(self.state_dict())

    def reshape(self, name: str, found: Tensor, wanted: Tensor) -> Tensor | None:
        """A stored tensor brought to the wanted shape (positions interpolated, input channels repeated), or None."""
        return None

    def adopt(self, weights: Mapping[str, Tensor], *, declared: bool = True) -> Adopted:
        """Load weights by name and shape and say what became of each.

        With `declared` every tensor of `declared()` must be there and fit; otherwise (a file that a user brings) 95 % of them
        must, for what pre-training never brings no file can hold. Raises EncoderMismatch naming the first misfits; the encoder is
        then unchanged.
        """
        own = self.state_dict()
        taken: dict[str, Tensor] = {}
        reshaped: list[str] = []
        for name, wanted in own.items():
            if name not in weights:
                continue
            found = weights[name]
            if found.shape == wanted.shape:
                taken[name] = found
            elif (fitted := self.reshape(name, found, wanted)) is not None and fitted.shape == wanted.shape:
                taken[name] = fitted
                reshaped.append(name)
        _demand(own, taken, weights, self.declared(), spared=0.0 if declared else 0.05)
        self.load_state_dict({**own, **taken})
        return Adopted(
            matched=tuple(n for n in taken if n not in reshaped),
            reshaped=tuple(reshaped),
            new=tuple(n for n in own if n not in taken),
            dropped=tuple(n for n in weights if n not in taken),
            elements=sum(t.numel() for t in taken.values()),
        )


def _demand(
    own: Mapping[str, Tensor],
    taken: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    required: frozenset[str],
    *,
    spared: float,
) -> None:
    absent = [name for name in own if name in required and name not in taken]
    if len(absent) <= spared * len(required):
        return
    first = absent[0]
    found = f"shape {tuple(weights[first].shape)}" if first in weights else "no such tensor"
    raise EncoderMismatch(
        f"{len(absent)} of {len(required)} tensors that the encoder must take over do not fit; first '{first}': "
        f"asked for shape {tuple(own[first].shape)}, found {found}.",
        remedy="Give a file saved from the same method and preset, or pre-train without --weights.",
    )


class Method(nn.Module):
    """A pre-training method: an encoder, the phases that train it, and a loss that reads like the paper."""

    encoder: Encoder
    phases: tuple[Phase, ...]
    told: tuple[str, ...] = ()  # what the record must tell of this training; set by `fit` (a part the corpus lacks)

    def fit(self, corpus: Corpus) -> None:
        """Whatever must be learnt from the corpus before step 0 and saved with the run. Default: nothing."""

    def told_of(self, phase: str) -> tuple[str, ...]:
        """What of `told` the record of a phase says: nothing of a later one, whose settings are not in its key. Default: all."""
        return self.told

    def prepare(self, batch: Batch) -> Batch:
        """On the device: window, normalise, augment. Default: unchanged."""
        return batch

    def loss(self, batch: Batch) -> Losses:
        """On the device: named scalars, already weighted."""
        raise NotImplementedError

    def begin_turn(self, turn: str) -> None:
        """An attempt at a turn's losses begins, once more where memory ran short. Default: nothing."""

    def after_step(self, progress: float) -> None:
        """Momentum updates and schedules; progress runs from 0 to 1. Default: nothing.

        A number that it sets must lie in a buffer: a checkpoint holds no other attribute.
        """

    def pictures(self, phase: str, corpus: Corpus) -> tuple[Picture, ...]:
        """Pictures worth a look after a phase, as arrays; the rooms draw them. Default: none."""
        return ()

    def blank(self, phase: str) -> Batch:
        """A batch of one sample as `prepare` leaves it, of tensors that are never read: for counts and forecasts.

        Called where tensors have no values. Default: nothing can be said, and the encoder's own pass is counted.
        """
        raise NotImplementedError


def one_phase(
    config: MethodConfig, *, draw: Draw, views: Views, loss: Callable[[Batch], Losses], splits_batch: bool = True
) -> tuple[Phase, ...]:
    """The phases of a method that trains once, with one optimiser."""
    return (Phase("pretrain", config, draw, views, (Turn("all", loss),), splits_batch),)
