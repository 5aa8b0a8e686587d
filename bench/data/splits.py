"""Which case belongs to which part: published lists as they are, our own by hash, smaller ratios as prefixes of larger ones.

No random number is drawn, so a split is the same on every machine and in every library version. What is ranked is the
official list and never the folder: a half download keeps every case in its part.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.contracts.cards import SplitRule
from bench.contracts.errors import DataUnsound, SpecError, nearest

SALT = "split-v1"


@dataclass(frozen=True)
class Parts:
    """Case ids of the three parts, train in the order in which smaller label ratios take them.

    Where a paper selects its checkpoint on the cases it reports, `val` and `test` are the same list. `subsets` holds the
    authors' own training subsets by label ratio, where they published some.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    subsets: Mapping[float, tuple[str, ...]] = field(default_factory=dict, hash=False)

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


def lists(rule: SplitRule, splits_folder: Path, fold: int = 0) -> Parts:
    """The parts that a protocol's rule names, checked: no case twice, none in two parts.

    Raises SpecError for an unknown file, key or fold, DataUnsound for a list that contradicts itself.
    """
    if fold and not rule.by_fold:
        raise SpecError(
            f"The list '{rule.key}' of {rule.file} has one split and no fold {fold}.", remedy="Leave --fold out."
        )
    parts = _two_texts(rule, splits_folder) if "+" in rule.file else _from_json(rule, splits_folder, fold)
    if rule.order == "hash":
        parts = replace(parts, train=rank(_task_of(rule), parts.train))
    if rule.subsets and not fold:  # the authors drew their subsets from fold 0's training part
        parts = replace(parts, subsets={r: read_list(splits_folder, rule.file, k) for r, k in rule.subsets.items()})
    check_hygiene(parts, {}, origin=rule.file)
    return parts


def every_fold(rule: SplitRule, splits_folder: Path) -> list[Parts]:
    """The parts of each fold that the rule's list holds, fold 0 first; one entry where there are no folds."""
    if not rule.by_fold:
        return [lists(rule, splits_folder)]
    found = _at(_json(_list_file(splits_folder, rule.file)), rule.key, rule.file)
    return [lists(rule, splits_folder, fold) for fold in range(len(found))]


def read_list(splits_folder: Path, file: str, key: str = "") -> tuple[str, ...]:
    """One list of a file in `tasks/splits/`: `key` is a path of names joined by `/`; empty for a text file.

    `corpus_luna16.json` marks its ids with T (training) or V (held out): key `T` gives the ids so marked, without the mark.
    Raises SpecError for what is not there.
    """
    path = _list_file(splits_folder, file)
    if path.suffix == ".txt":
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    content = _json(path)
    if file == "corpus_luna16.json":
        return _luna(content, key)
    found = _at(content, key, file)
    if not isinstance(found, list):
        raise SpecError(
            f"'{key}' in {file} is no list of cases but holds {_names(found)}.", remedy="Name one of these."
        )
    return tuple(str(unit) for unit in found)


def nested(
    train: Sequence[str],
    ratio: float,
    count: Literal["ceil", "int"] = "ceil",
    subsets: Mapping[float, Sequence[str]] | None = None,
) -> tuple[str, ...]:
    """The training units of a label ratio: the first max(1, ceil(ratio n)) of the order given, or the authors' own subset.

    `count` int rounds down, as AR and SPAD do. With one order, a smaller ratio is always contained in a larger one.
    Example: nested of 21 units at 0.2 is 5 with ceil and 4 with int. Raises SpecError for a ratio outside (0, 1].
    """
    if not (math.isfinite(ratio) and 0 < ratio <= 1):
        raise SpecError(f"A label ratio lies in (0, 1], found {ratio:g}.", remedy="For example --ratio 0.25.")
    own = (subsets or {}).get(ratio)
    if isinstance(own, str):
        raise TypeError(f"'{own}' names a list; hand over the subsets of lists(), not those of the rule")
    if own is not None:
        return tuple(own)
    share = round(ratio * len(train), 9)  # 0.55 * 100 is 55.00000000000001 in floats; it must take 55
    return tuple(train[: max(1, math.ceil(share) if count == "ceil" else int(share))])


def present(parts: Parts, on_disk: Iterable[str]) -> tuple[Parts, tuple[str, ...]]:
    """The parts cut down to the cases on disk, orders kept, and the ids that are missing (train, val, test; each once)."""
    here = frozenset(on_disk)

    def keep(part: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(case for case in part if case in here)

    subsets = {ratio: keep(part) for ratio, part in parts.subsets.items()}
    cut = Parts(keep(parts.train), keep(parts.val), keep(parts.test), subsets)
    return cut, tuple(case for case in parts.everything() if case not in here)


def check_hygiene(parts: Parts, groups: Mapping[str, str], origin: str = "") -> None:
    """Refuse a case listed twice, and a group (a patient where known) that stands in two parts.

    A case without an entry in `groups` is its own group. `val` equal to `test` is how some papers select and no fault
    here. Raises DataUnsound naming the case or the group.
    """
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


def _from_json(rule: SplitRule, folder: Path, fold: int) -> Parts:
    found = _at(_json(_list_file(folder, rule.file)), rule.key, rule.file)
    if rule.by_fold:
        return _of_folds(found, fold, rule)
    if not isinstance(found, Mapping) or "train" not in found or not {"val", "test"} & set(found):
        raise SpecError(
            f"'{rule.key}' in {rule.file} holds {_names(found)}, no train with val or test.", remedy="Name another key."
        )
    test = found.get("test", found.get("val"))
    return Parts(_ids(found["train"]), _ids(found.get("val", test)), _ids(test))


def _of_folds(found: Any, fold: int, rule: SplitRule) -> Parts:
    if not isinstance(found, Mapping) or str(fold) not in found:
        raise SpecError(
            f"No fold {fold} in '{rule.key}' of {rule.file}; it holds {_names(found)}.", remedy="Take one of these."
        )
    test = _ids(found[str(fold)])
    others = sorted(case for name, part in found.items() if name != str(fold) for case in _ids(part))
    return Parts(tuple(others), test, test)


def _two_texts(rule: SplitRule, folder: Path) -> Parts:
    train, _, test = rule.file.partition("+")
    evaluation = read_list(folder, test)
    return Parts(read_list(folder, train), evaluation, evaluation)


def _task_of(rule: SplitRule) -> str:
    """The key under which cases are hashed: the list's own in a file that serves several tasks, else the file's name."""
    if rule.file in ("msd_712_proposed.json", "bench_proposed.json"):
        return rule.key
    return rule.file.partition("+")[0].removesuffix(".json").partition("_")[0]


def _list_file(folder: Path, file: str) -> Path:
    path = folder / file
    if not path.is_file():
        lying = [found.name for found in folder.glob("*.*")] if folder.is_dir() else []
        raise SpecError(f"No list of cases '{file}' in {folder.name}/. {nearest(file, lying)}".strip(), case=file)
    return path


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataUnsound(
            f"{path.name} is no JSON ({error}).", case=path.name, remedy="Install the project anew."
        ) from error


def _at(content: Any, key: str, file: str) -> Any:
    for name in key.split("/") if key else ():
        if not isinstance(content, Mapping) or name not in content:
            raise SpecError(
                f"No list '{key}' in {file}; at '{name}' it holds {_names(content)}.", remedy="Name one of these."
            )
        content = content[name]
    return content


def _luna(content: Mapping[str, Any], mark: str) -> tuple[str, ...]:
    marked = [unit for name, part in content.items() if name.startswith("subset_") for unit in part]
    return tuple(unit[1:] for unit in marked if unit[:1] == mark)


def _ids(units: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(unit) for unit in units)


def _names(found: Any) -> str:
    return ", ".join(map(str, list(found)[:12])) if isinstance(found, Mapping) else type(found).__name__
