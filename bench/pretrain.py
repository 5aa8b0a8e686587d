"""Pre-train: a method card and a corpus become an encoder on disk.

Leaves in `runs/pretrain/<key>/`: `config.json`, `log.jsonl`, `checkpoint.pt`, `method.safetensors`, `encoder.safetensors`,
`trained.json`, and `pictures.npz` where the method has something to show. A folder that holds `trained.json` and the weights is
finished and is read, not run again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from bench.contracts.cards import MethodCard
from bench.contracts.configs import MethodConfig, Sight
from bench.contracts.errors import PluginBroken
from bench.contracts.method import Corpus, Encoder, Method, Phase, Turn
from bench.data.atomic import write_json
from bench.data.lock import only_one
from bench.data.picture_file import write_pictures
from bench.keys import plain
from bench.train.checkpoint import beside, load_weights, save_weights
from bench.train.controls import controlled
from bench.train.job import untrained
from bench.train.loop import Hardware, Job, train
from bench.train.progress import Progress
from bench.train.ranks import first_says, is_first, meet
from bench.train.seeds import reseed_torch


def pretrain(
    card: MethodCard,
    name: str,
    configs: Mapping[str, MethodConfig],
    corpus: Corpus,
    sight: Sight,
    keys: Mapping[str, str],
    folders: Mapping[str, Path],
    hardware: Hardware,
    progress: Progress | None = None,
) -> Path:
    """Run the phases that are not finished, in order; return the file of encoder weights.

    `keys` and `folders` are by phase. The start is drawn from the method's name and the first phase's seed, so that
    variants of one method start alike.
    """
    assert card.build is not None
    first = next(iter(configs.values()))
    reseed_torch("start", name, first.seed)
    method = card.build(configs if len(configs) > 1 else first, sight)
    _demand_whole(method, name, list(configs))
    for phase in method.phases:
        folder = folders[phase.name]
        with only_one(folder) if is_first() else nullcontext():
            if not first_says(finished(folder)):
                _run_phase(method, phase.name, configs, corpus, keys[phase.name], folder, hardware, progress)
        meet()
        stored = load_weights(folder / "method.safetensors")[0]
        method.load_state_dict(beside(method, stored, resting(method, phase)))
    return folders[method.phases[-1].name] / "encoder.safetensors"


def _demand_whole(method: Any, name: str, asked: list[str]) -> None:
    """PluginBroken where what a card builds lacks what the rooms take of it: told before it is trained, not after."""
    if not isinstance(method, Method):
        raise PluginBroken(
            f"Its card's `build` gives a {type(method).__name__}, asked for a Method.",
            case=name,
            remedy="Derive the class from bench.contracts.method.Method.",
        )
    if not isinstance(getattr(method, "encoder", None), Encoder):
        raise PluginBroken(
            f"The method has no Encoder as `encoder`, found {type(getattr(method, 'encoder', None)).__name__}.",
            case=name,
            remedy="Set self.encoder to what the card's `encoder` builds: fine-tuning sees nothing else.",
        )
    found = [phase.name for phase in getattr(method, "phases", ())]
    if found != asked:
        raise PluginBroken(
            f"The method builds phases {found}, its card names {asked}.",
            case=name,
            remedy="Set self.phases to a Phase for each, in this order; one_phase gives the one called 'pretrain'.",
        )


def resting(method: Method, phase: Phase) -> frozenset[str]:
    """Names of the parameters that later phases move and this one does not. The key of a phase does not know how, or of what size,
    they start, so that its weights may come from a run in which they started otherwise."""
    later = method.phases[method.phases.index(phase) + 1 :]
    own, others = (
        {id(p) for one in some for turn in one.turns for p in _moves(method, turn)} for some in ((phase,), later)
    )
    return frozenset(name for name, p in method.named_parameters(remove_duplicate=False) if id(p) in others - own)


def _moves(method: Method, turn: Turn) -> Iterable[nn.Parameter]:
    return method.parameters() if turn.parameters is None else turn.parameters()


def finished(folder: Path) -> bool:
    """True where a phase was trained and what others read of it is still there."""
    return all((folder / name).exists() for name in ("trained.json", "method.safetensors", "encoder.safetensors"))


def trained(folder: Path) -> dict[str, Any]:
    """What a finished phase left: steps, seconds, hashes, device."""
    found: dict[str, Any] = json.loads((folder / "trained.json").read_text())
    return found


def _run_phase(
    method: Method,
    phase_name: str,
    configs: Mapping[str, MethodConfig],
    corpus: Corpus,
    key: str,
    folder: Path,
    hardware: Hardware,
    progress: Progress | None,
) -> None:
    method.fit(corpus)  # first, for views may need what it finds
    shown = next(phase for phase in method.phases if phase.name == phase_name)
    phase = controlled(shown, configs[phase_name], corpus)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "config.json",
        {"key": key, "phase": phase_name, "config": plain(dataclasses.asdict(configs[phase_name]))},
    )
    job = Job(
        key=key,
        phase=phase,
        model=method,
        corpus=corpus,
        folder=folder,
        prepare=method.prepare,
        after_step=method.after_step,
        begin_turn=method.begin_turn,
        resting=resting(method, shown),
    )
    # a variant of no steps is its paper's row "from scratch", with the start that its other rows have
    result = train(job, hardware, progress) if phase.config.steps else untrained(job)
    if not is_first():
        return
    if pictures := method.pictures(phase_name, corpus):
        write_pictures(folder / "pictures.npz", pictures)
    save_weights(folder / "method.safetensors", method.state_dict(), {"key": key})
    save_weights(folder / "encoder.safetensors", method.encoder.state_dict(), {"key": key})
    write_json(
        folder / "trained.json", dataclasses.asdict(result) | {"notes": [*result.notes, *method.told_of(phase_name)]}
    )
