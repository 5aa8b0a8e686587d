"""Which case belongs to which part: published lists as they are, our own by hash, smaller ratios as prefixes of larger ones.

No random number is drawn, so a split is the same on every machine and in every library version. What is ranked is the
official list and never the folder: a half download keeps every case in its part.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bench.contracts.cards import SplitRule
from bench.contracts.errors import DataUnsound, SpecError
from bench.data.listings import Listing, fold_count, listed, read_list
from bench.data.roster import Roster

__all__ = ["Parts", "check_hygiene", "every_fold", "lists", "nested", "present", "rank", "read_list"]

SALT = "split-v1"
SALTS = (SALT, "split-v1-b", "split-v1-c")


@dataclass(frozen=True)
class Parts:
    """Case ids of the three parts, train in the order in which smaller label ratios take them.

    Where a paper selects its checkpoint on the cases it reports, `val` and `test` are the same list. `subsets` holds the
    authors' own training subsets by label ratio, where they published some. `unit_of` names the patient or scan of training
    cases that a label ratio takes only together, `class_of` the class of cases where the list or the data tell it.
    `straddles`: the authors' list puts groups on both sides, knowingly told.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    subsets: Mapping[float, tuple[str, ...]] = field(default_factory=dict, hash=False)
    unit_of: Mapping[str, str] = field(default_factory=dict, hash=False)
    class_of: Mapping[str, str] = field(default_factory=dict, hash=False)
    straddles: bool = False

    @property
    def selects_on_test(self) -> bool:
        """True where the model is chosen on the very cases it is reported on, as the papers' code does."""
        return bool(self.test) and self.val == self.test

    def everything(self) -> tuple[str, ...]:
        """Every case once: train, then val, then test."""
        return tuple(dict.fromkeys((*self.train, *self.val, *self.test)))


def rank(task: str, units: Iterable[str], salt: str = SALT) -> tuple[str, ...]:
    """Units in ascending order of sha256("<salt>|<task>|<unit>") as hex; the order they come in does not matter.

    Source: tasks.md 0.1. `split-v1|msd04|hippocampus_001` hashes to a527c220add13502...
    """
    return tuple(sorted(units, key=lambda unit: hashlib.sha256(f"{salt}|{task}|{unit}".encode()).hexdigest()))


def divided(task: str, units: Sequence[str], salt: str = SALT) -> Parts:
    """Our rule where nothing is published: of n ranked units the first round(0.2 n) test, the next round(0.1 n) val.

    Rounding is half to even. Source: tasks.md 0.1. Example: 260 units give 182/26/52.
    """
    ranked = rank(task, units, salt)
    n_test, n_val = round(0.2 * len(ranked)), round(0.1 * len(ranked))
    return Parts(ranked[n_test + n_val :], ranked[n_test : n_test + n_val], ranked[:n_test])


def beside_published_test(task: str, units: Sequence[str], test: Sequence[str], salt: str = SALT) -> Parts:
    """Our rule beside a published evaluation list: val = first max(1, round(0.1 n)) of the n other units in rank order.

    Source: tasks.md 0.1. Example: BTCV's 24 others give 2 for val and 22 for train.
    """
    others = rank(task, set(units) - set(test), salt)
    n_val = max(1, round(0.1 * len(others)))
    return Parts(others[n_val:], others[:n_val], tuple(test))


def stratified(task: str, strata: Mapping[str, str], salt: str = SALT) -> Parts:
    """Our rule inside each stratum, the parts joined in the order of strata; `strata` maps a unit to its own.

    Source: tasks.md 0.1. Example: ten units of stratum a and ten of b give 14/2/4, two of each stratum in test.
    """
    pieces = [divided(task, [u for u in strata if strata[u] == name], salt) for name in sorted(set(strata.values()))]
    train, val, test = (tuple(u for piece in pieces for u in getattr(piece, part)) for part in ("train", "val", "test"))
    return Parts(train, val, test)


def interleaved(units: Sequence[str], class_of: Mapping[str, str]) -> tuple[str, ...]:
    """Units sorted by (i / n_c, class), i the place inside their class of n_c units: every prefix has the classes' shares.

    Source: tasks.md 0.1. Units without a class count as one of their own. Example: a1 a2 a3 a4 b1 b2 of classes a and b give
    a1 b1 a2 a3 b2 a4.
    """
    classes: dict[str, list[str]] = {}
    for unit in units:
        classes.setdefault(class_of.get(unit, ""), []).append(unit)
    placed = ((i / len(members), name, unit) for name, members in classes.items() for i, unit in enumerate(members))
    return tuple(unit for _, _, unit in sorted(placed, key=lambda place: place[:2]))


def lists(rule: SplitRule, splits_folder: Path, fold: int = 0, roster: Roster | None = None) -> Parts:
    """The parts that a protocol's rule names, checked: no case twice, none in two parts.

    `roster` tells what only the data know: the classes of cases, the cases of a group, and all parts where the rule names no
    file. Without it a list of groups stays one
    of groups, and a stratified order whose file tells no classes stays as it is listed. Raises SpecError for an unknown
    file, key or fold and for strata that nobody told, DataUnsound for a list that contradicts itself.
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
    parts = replace(parts, train=_ordered(rule, found, known, parts.train))
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


def every_fold(rule: SplitRule, splits_folder: Path, roster: Roster | None = None) -> list[Parts]:
    """The parts of each fold that the rule's list holds, fold 0 first; one entry where there are no folds."""
    if not rule.by_fold:
        return [lists(rule, splits_folder, 0, roster)]
    count = len(SALTS) if rule.divides else fold_count(rule, splits_folder)
    return [lists(rule, splits_folder, fold, roster) for fold in range(count)]


def _of_owners(rule: SplitRule, roster: Roster) -> Listing:
    if not roster.parts:
        raise SpecError(
            f"The parts of this split stand in the owners' own tables ({rule.origin}), and no dataset was looked at.",
            remedy="Say where the dataset lies: --root DIR.",
        )
    return Listing(roster.parts["train"], roster.parts["val"], roster.parts["test"])


def _divided(rule: SplitRule, found: Listing, roster: Roster, fold: int) -> Parts:
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
            f"The rule of {rule.file} divides classes, and {len(unknown)} of {len(found.train)} units have none; first "
            f"{unknown[0]}.",
            case=task,
            remedy="The owners' table of labels must name every case, on disk or not: fetch it whole.",
        )
    return stratified(task, {unit: roster.class_of[unit] for unit in found.train}, salt)


def _ordered(rule: SplitRule, found: Listing, roster: Roster, train: tuple[str, ...]) -> tuple[str, ...]:
    """The training cases in the order of label ratios; those of one unit follow each other as they are listed."""
    if rule.order != "hash":
        return train
    class_of = found.class_of or roster.class_of
    if rule.stratified and not class_of:
        return train
    cases: dict[str, list[str]] = {}
    for case in train:
        cases.setdefault(found.unit_of.get(case, case), []).append(case)
    units = rank(_task_of(rule), cases)
    units = interleaved(units, class_of) if rule.stratified else units
    return tuple(case for unit in units for case in cases[unit])


def _expanded(parts: Parts, roster: Roster) -> Parts:
    """Groups replaced by their cases; one that is not on disk stays, so that it counts as missing; an empty one goes."""

    def cases(units: Iterable[str]) -> tuple[str, ...]:
        return tuple(case for unit in units for case in roster.cases_of.get(unit, (unit,)))

    unit_of = {case: unit for unit in parts.train for case in roster.cases_of.get(unit, (unit,))}
    return Parts(cases(parts.train), cases(parts.val), cases(parts.test), unit_of=unit_of)


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


def present(parts: Parts, on_disk: Iterable[str]) -> tuple[Parts, tuple[str, ...]]:
    """The parts cut down to the cases on disk, orders kept, and the ids that are missing (train, val, test; each once)."""
    here = frozenset(on_disk)

    def keep(part: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(case for case in part if case in here)

    subsets = {ratio: keep(part) for ratio, part in parts.subsets.items()}
    cut = replace(parts, train=keep(parts.train), val=keep(parts.val), test=keep(parts.test), subsets=subsets)
    return cut, tuple(case for case in parts.everything() if case not in here)


def check_hygiene(parts: Parts, groups: Mapping[str, str], origin: str = "") -> None:
    """Refuse a case listed twice, and a group (a patient where known) that stands in two parts.

    A case without an entry in `groups` is its own group. `val` equal to `test` is how some papers select and no fault
    here; groups of a list that `straddles` are not looked at. Raises DataUnsound naming the case or the group.
    """
    groups = {} if parts.straddles else groups
    where = f" of {origin}" if origin else ""
    named = {"train": parts.train, "test": parts.test}
    if not parts.selects_on_test:
        named["val"] = parts.val
    for name, part in named.items():
        doubled = next(
            (case for case, previous in zip(sorted(part)[1:], sorted(part), strict=False) if case == previous), ""
        )
        if doubled:
            raise DataUnsound(
                f"the case stands twice in the part '{name}'{where}.", case=doubled, remedy="Mend the list of cases."
            )
    seen: dict[str, tuple[str, str]] = {}
    for name, part in named.items():
        for case in part:
            group = groups.get(case, case)
            other, other_case = seen.setdefault(group, (name, case))
            if other != name:
                found = f"in '{other}'" if case == other_case else f"in '{other}' as {other_case}, here as {case}"
                raise DataUnsound(
                    f"the group stands in two parts{where}: '{name}' and {found}.",
                    case=group,
                    remedy="A patient may stand in one part only: take it out of one of them.",
                )


def _task_of(rule: SplitRule) -> str:
    """The key under which cases are hashed: the list's own in a file that serves several tasks, else the file's name."""
    if rule.file in ("msd_712_proposed.json", "bench_proposed.json", "medmnist.json"):
        return rule.key
    name = Path(rule.file.partition("+")[0]).name.removeprefix("corpus_").partition(".")[0]
    return name.partition("_")[0]
