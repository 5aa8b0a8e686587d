"""The three parts of a set of cases: our own rule of division by hash, and that nobody stands in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.contracts.errors import DataUnsound

SALT = "split-v1"
SALTS = (SALT, "split-v1-b", "split-v1-c")


@dataclass(frozen=True)
class Parts:
    """Case ids of the three parts, train in the order in which smaller label ratios take them.

    Where a paper selects its checkpoint on the cases it reports, `val` and `test` are the same list. `subsets` holds the
    authors' own training subsets by label ratio, where they published some. `unit_of` names the patient or scan of training
    cases that a label ratio takes only together, `class_of` the class of cases where the list or the data tell it.
    `straddles`: the authors' list puts groups on both sides, knowingly told. `grouped`: the list names groups (scans,
    patients), and one of which nothing is on disk stands here for its cases, which nobody has counted.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    subsets: Mapping[float, tuple[str, ...]] = field(default_factory=dict, hash=False)
    unit_of: Mapping[str, str] = field(default_factory=dict, hash=False)
    class_of: Mapping[str, str] = field(default_factory=dict, hash=False)
    straddles: bool = False
    grouped: bool = False

    @property
    def selects_on_test(self) -> bool:
        """True where the model is chosen on the very cases it is reported on, as the papers' code does."""
        return bool(self.test) and self.val == self.test

    def everything(self) -> tuple[str, ...]:
        """Every case once: train, then val, then test."""
        return tuple(dict.fromkeys((*self.train, *self.val, *self.test)))


def units(part: Iterable[str], group_of: Mapping[str, str]) -> set[str]:
    """The groups that cases of a part belong to; an id without an entry is a group that is not on disk, and stands for itself."""
    return {group_of.get(case, case) for case in part}


def rank(task: str, units: Iterable[str], salt: str = SALT) -> tuple[str, ...]:
    """Units in ascending order of sha256("<salt>|<task>|<unit>") as hex; the order they come in does not matter.

    Source: ours. `split-v1|msd04|hippocampus_001` hashes to a527c220add13502...
    """
    return tuple(sorted(units, key=lambda unit: hashlib.sha256(f"{salt}|{task}|{unit}".encode()).hexdigest()))


def divided(task: str, units: Sequence[str], salt: str = SALT) -> Parts:
    """Our rule where nothing is published: of n ranked units the first round(0.2 n) test, the next round(0.1 n) val.

    Rounding is half to even. Source: ours. Example: 260 units give 182/26/52.
    """
    ranked = rank(task, units, salt)
    n_test, n_val = round(0.2 * len(ranked)), round(0.1 * len(ranked))
    return Parts(ranked[n_test + n_val :], ranked[n_test : n_test + n_val], ranked[:n_test])


def beside_published_test(task: str, units: Sequence[str], test: Sequence[str], salt: str = SALT) -> Parts:
    """Our rule beside a published evaluation list: val = first max(1, round(0.1 n)) of the n other units in rank order.

    Source: ours. Example: BTCV's 24 others give 2 for val and 22 for train.
    """
    others = rank(task, set(units) - set(test), salt)
    n_val = max(1, round(0.1 * len(others)))
    return Parts(others[n_val:], others[:n_val], tuple(test))


def stratified(task: str, strata: Mapping[str, str], salt: str = SALT) -> Parts:
    """Our rule inside each stratum, the parts joined in the order of strata; `strata` maps a unit to its own.

    Source: ours. Example: ten units of stratum a and ten of b give 14/2/4, two of each stratum in test.
    """
    pieces = [divided(task, [u for u in strata if strata[u] == name], salt) for name in sorted(set(strata.values()))]
    train, val, test = (tuple(u for piece in pieces for u in getattr(piece, part)) for part in ("train", "val", "test"))
    return Parts(train, val, test)


def interleaved(units: Sequence[str], class_of: Mapping[str, str]) -> tuple[str, ...]:
    """Units sorted by (i / n_c, class), i the place inside their class of n_c units: every prefix has the classes' shares.

    Source: ours. Units without a class count as one of their own. Example: a1 a2 a3 a4 b1 b2 of classes a and b give
    a1 b1 a2 a3 b2 a4.
    """
    classes: dict[str, list[str]] = {}
    for unit in units:
        classes.setdefault(class_of.get(unit, ""), []).append(unit)
    placed = ((i / len(members), name, unit) for name, members in classes.items() for i, unit in enumerate(members))
    return tuple(unit for _, _, unit in sorted(placed, key=lambda place: place[:2]))


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
