"""Which protocol, target and fold of a task the words of a run mean. Looks at cards and lists of names, at no data."""

from __future__ import annotations

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.errors import SpecError, nearest
from bench.contracts.protocols import Protocol
from bench.data.splits import folds_of
from bench.spec import RunSpec


def protocol_of(card: TaskCard, task: str, name: str) -> Protocol:
    """The card's protocol of that name; SpecError with those it offers, and with the task that a paper means by this name."""
    if name in card.protocols:
        return card.protocols[name]
    meant = card.elsewhere.get(name)
    elsewhere = f"What that paper prints as '{task}' is --task {meant}."
    raise SpecError(
        f"The task '{task}' has no protocol '{name}'. {nearest(name, card.protocols)}Possible: {', '.join(card.protocols)}.",
        case=task,
        remedy=elsewhere if meant else f"What each is: bench show {task}",
    )


def target_of(card: TaskCard, task: str, asked: str, protocol: Protocol) -> str:
    """The target asked for, else the protocol's own; SpecError with those the card knows."""
    target = asked or protocol.target
    if target and target not in card.targets:
        raise SpecError(
            f"The task '{task}' has no target '{target}'. {nearest(target, card.targets)}"
            f"Possible: {', '.join(card.targets) or 'none'}.",
            case=task,
            remedy=f"What each is: bench show {task}",
        )
    return target


def demand_fold(spec: RunSpec, protocol: Protocol) -> None:
    """SpecError for a fold that a protocol does not have."""
    count = folds_of(protocol.split, registry.splits_folder())
    if spec.fold < count:
        return
    offered, choose = (
        ("one split", "Leave --fold out") if count == 1 else (f"{count} folds", f"Say --fold 0 to {count - 1}")
    )
    raise SpecError(
        f"The protocol '{spec.protocol}' of '{spec.task}' has {offered} and no fold {spec.fold}.",
        case=spec.task,
        remedy=f"{choose}; what each protocol is: bench show {spec.task}",
    )
