"""Which case belongs to which part: published lists as they are, our own by hash, smaller ratios as prefixes of larger ones.

No random number is drawn, so a split is the same on every machine and in every library version. What is ranked is the
official list and never the folder: a half download keeps every case in its part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from bench.contracts.counts import how_many
from bench.contracts.errors import SpecError
from bench.contracts.protocols import SplitRule
from bench.data.listings import Listing, fold_count, listed, read_list
from bench.data.parts import (
    SALTS,
    Parts,
    beside_published_test,
    check_hygiene,
    divided,
    interleaved,
    rank,
    stratified,
)
from bench.data.roster import Roster

FEW_UNITS = 8

__all__ = [
    "SALTS",
    "Parts",
    "beside_published_test",
    "check_hygiene",
    "divided",
    "every_fold",
    "folds_of",
    "interleaved",
    "lists",
    "nested",
    "order_of",
    "present",
    "rank",
    "read_list",
    "stratified",
]


def lists(rule: SplitRule, splits_folder: Path, fold: int = 0, roster: Roster | None = None, order: int = 0) -> Parts:
    """The parts that a protocol's rule names, checked: no case twice, none in two parts.

    `roster` tells what only the data know: the classes of cases, the cases of a group, and all parts where the rule names no
    file. Without it a list of groups stays one of groups, and a stratified order whose file tells no classes stays as it is
    listed. `order` is the place in SALTS of the salt by which our rule orders train; val and test stay as they are. Raises
    SpecError for an unknown file, key or fold and for strata that nobody told, DataUnsound for a list that contradicts itself.
    """
    if fold and not rule.by_fold:
        raise SpecError(
            f"The list '{rule.key}' of {rule.file} has one split and no fold {fold}.", remedy="Leave --fold out."
        )
    known = roster or Roster()
    found = listed(rule, splits_folder, fold) if rule.file else _of_owners(rule, known)
    parts = _divided(rule, found, known, fold) if rule.divides else Parts(found.train, found.val, found.test)
    if not rule.with_val:
        parts = replace(parts, train=(*parts.train, *parts.val), val=parts.test)
    parts = replace(parts, train=_ordered(rule, found, known, parts.train, SALTS[order]))
    if rule.subsets and not fold:  # the authors drew their subsets from fold 0's training part
        parts = replace(parts, subsets={r: read_list(splits_folder, rule.file, k) for r, k in rule.subsets.items()})
    class_of = found.class_of or known.class_of
    parts = replace(
        parts,
        class_of={
            case: class_of[unit] for case in parts.everything() if (unit := found.unit_of.get(case, case)) in class_of
        },
        straddles=rule.straddles,
    )
    if rule.unit == "group" and roster is not None:
        parts = _expanded(parts, roster)
    elif found.unit_of:
        parts = replace(parts, unit_of={case: found.unit_of[case] for case in parts.train})
    check_hygiene(parts, {}, origin=rule.file)
    return parts


def folds_of(rule: SplitRule, splits_folder: Path) -> int:
    """How many folds a rule has; 1 where it has one split."""
    if not rule.by_fold:
        return 1
    return len(SALTS) if rule.divides in ("all", "strata") else fold_count(rule, splits_folder)


def every_fold(rule: SplitRule, splits_folder: Path, roster: Roster | None = None) -> list[Parts]:
    """The parts of each fold that the rule's list holds, fold 0 first; one entry where there are no folds."""
    return [lists(rule, splits_folder, fold, roster) for fold in range(folds_of(rule, splits_folder))]


def _of_owners(rule: SplitRule, roster: Roster) -> Listing:
    if not roster.parts:
        raise SpecError(
            f"The parts of this split stand in the owners' own tables ({rule.origin}), and no dataset was looked at.",
            remedy="Say where the dataset lies: --root DIR.",
        )
    return Listing(roster.parts["train"], roster.parts["val"], roster.parts["test"])


def _divided(rule: SplitRule, found: Listing, roster: Roster, fold: int) -> Parts:
    if rule.divides == "others":
        return beside_published_test(_task_of(rule), found.train, found.test)
    if fold >= len(SALTS):
        raise SpecError(
            f"No repeat {fold} of our rule; there are {len(SALTS)}.", remedy=f"Say --fold 0 to {len(SALTS) - 1}."
        )
    task, salt = _task_of(rule), SALTS[fold]
    if rule.divides == "all":
        return divided(task, found.train, salt)
    unknown = [unit for unit in found.train if unit not in roster.class_of]
    if unknown:
        raise SpecError(
            f"The rule of {rule.file} divides classes; unknown is that of {len(unknown):,} of "
            f"{how_many(len(found.train), 'unit')}, first {unknown[0]}.",
            case=task,
            remedy="The owners' table of labels must name every case, on disk or not: fetch it whole.",
        )
    return stratified(task, {unit: roster.class_of[unit] for unit in found.train}, salt)


def _ordered(rule: SplitRule, found: Listing, roster: Roster, train: tuple[str, ...], salt: str) -> tuple[str, ...]:
    """The training cases in the order of label ratios; those of one unit follow each other as they are listed."""
    if rule.order != "hash":
        return train
    class_of = found.class_of or roster.class_of
    if rule.stratified and not class_of:
        return train
    cases: dict[str, list[str]] = {}
    for case in train:
        cases.setdefault(found.unit_of.get(case, case), []).append(case)
    units = rank(_task_of(rule), cases, salt)
    units = interleaved(units, class_of) if rule.stratified else units
    return tuple(case for unit in units for case in cases[unit])


def _expanded(parts: Parts, roster: Roster) -> Parts:
    """Groups replaced by their cases; one that is not on disk stays, so that it counts as missing; an empty one goes."""

    def cases(units: Iterable[str]) -> tuple[str, ...]:
        return tuple(case for unit in units for case in roster.cases_of.get(unit, (unit,)))

    unit_of = {case: unit for unit in parts.train for case in roster.cases_of.get(unit, (unit,))}
    return replace(
        parts,
        train=cases(parts.train),
        val=cases(parts.val),
        test=cases(parts.test),
        subsets={ratio: cases(part) for ratio, part in parts.subsets.items()},
        unit_of=unit_of,
        class_of={},
        grouped=True,
    )


def nested(
    train: Sequence[str],
    ratio: float,
    count: Literal["ceil", "int"] = "ceil",
    subsets: Mapping[float, Sequence[str]] | None = None,
    unit_of: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """The training units of a label ratio: the first max(1, ceil(ratio n)) of the order given, or the authors' own subset.

    `count` int rounds down, as AR and SPAD do. With `unit_of` the n are units (patients), whose cases come together.
    With one order, a smaller ratio is always contained in a larger one.
    Example: nested of 21 units at 0.2 is 5 with ceil and 4 with int. Raises SpecError for a ratio outside (0, 1].
    """
    if not (math.isfinite(ratio) and 0 < ratio <= 1):
        raise SpecError(f"A label ratio lies in (0, 1], found {ratio:g}.", remedy="For example --ratio 0.25.")
    own = (subsets or {}).get(ratio)
    if isinstance(own, str):
        raise TypeError(f"'{own}' names a list; hand over the subsets of lists(), not those of the rule")
    if own is not None:
        return tuple(own)
    units = list(dict.fromkeys(unit_of.get(case, case) for case in train)) if unit_of else list(train)
    share = round(ratio * len(units), 9)  # 0.55 * 100 is 55.00000000000001 in floats; it must take 55
    taken = frozenset(units[: max(1, math.ceil(share) if count == "ceil" else int(share))])
    return tuple(case for case in train if (unit_of or {}).get(case, case) in taken)


def order_of(rule: SplitRule, parts: Parts, ratio: float, seed: int) -> int:
    """Which order of train a run takes: where a ratio labels FEW_UNITS or fewer, seeds go round the orders of our rule, so that
    repeats tell what the choice of those few is worth. 0 elsewhere. Source: ours."""
    if rule.order != "hash" or ratio == 1.0 or ratio in parts.subsets:
        return 0
    taken = nested(parts.train, ratio, rule.count, None, parts.unit_of)
    units = {parts.unit_of.get(case, case) for case in taken}
    return seed % len(SALTS) if len(units) <= FEW_UNITS else 0


def present(parts: Parts, on_disk: Iterable[str]) -> tuple[Parts, tuple[str, ...]]:
    """The parts cut down to the cases on disk, orders kept, and the ids that are missing (train, val, test; each once)."""
    here = frozenset(on_disk)

    def keep(part: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(case for case in part if case in here)

    subsets = {ratio: keep(part) for ratio, part in parts.subsets.items()}
    cut = replace(parts, train=keep(parts.train), val=keep(parts.val), test=keep(parts.test), subsets=subsets)
    return cut, tuple(case for case in parts.everything() if case not in here)


def _task_of(rule: SplitRule) -> str:
    """The key under which cases are hashed: the list's own in a file that serves several tasks, else the file's name."""
    if rule.file in ("msd_712_proposed.json", "bench_proposed.json", "medmnist.json", "medmnist_corrected.json"):
        return rule.key
    name = Path(rule.file.partition("+")[0]).name.removeprefix("corpus_").partition(".")[0]
    return name.partition("_")[0]
