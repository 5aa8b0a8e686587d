"""What the files in `tasks/splits/` hold, shape by shape: the units of each part, and what the list itself tells of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.contracts.errors import DataUnsound, SpecError, nearest
from bench.contracts.protocols import SplitRule

LUNA_PREFIX = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
MEDMNIST_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Listing:
    """A list as it is written. `class_of` maps a unit to its class and `unit_of` a case to its patient, where the file tells."""

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    class_of: Mapping[str, str] = field(default_factory=dict)
    unit_of: Mapping[str, str] = field(default_factory=dict)


def listed(rule: SplitRule, folder: Path, fold: int) -> Listing:
    """The parts that a rule's file names; everything is `train` where our own rule divides the list."""
    if rule.divides in ("all", "strata"):
        return Listing(read_list(folder, rule.file, rule.key))
    if rule.file == "ccccii_folds.csv":
        return _ccccii(_list_file(folder, rule.file), rule.key, fold)
    if rule.file.startswith("ricord_"):
        return _ricord([_list_file(folder, name) for name in rule.file.split("+")])
    if rule.file in ("medmnist.json", "medmnist_corrected.json"):
        return _medmnist(_json(_list_file(folder, rule.file)), rule.key, rule.file)
    if rule.file == "corpus_luna16.json":
        return _luna_subsets(_json(_list_file(folder, rule.file)), rule.key)
    return _two_texts(rule, folder) if "+" in rule.file else _from_json(rule, folder, fold)


def fold_count(rule: SplitRule, folder: Path) -> int:
    """How many folds a file of folds holds."""
    return 3 if rule.file == "ccccii_folds.csv" else len(_at(_json(_list_file(folder, rule.file)), rule.key, rule.file))


def read_list(splits_folder: Path, file: str, key: str = "") -> tuple[str, ...]:
    """One list of a file in `tasks/splits/`: `key` is a path of names joined by `/`; empty for a text file.

    `corpus_luna16.json` marks its ids with T (training) or V (held out): key `T` gives the scans so marked, key `subset_3`
    those of one of the owners' folders, by their whole series uid.
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


def _ccccii(path: Path, key: str, fold: int) -> Listing:
    """MG-3D's folds: a letter per fold, T or V. `folds`: V is val and test. `holdout`: V in every fold is test, the rest val.

    A scan is called `p<patient>-s<scan>`, as in the authors' arrays; a class belongs to a patient (`<class>/<patient>`).
    """
    if key not in ("folds", "holdout") or fold > 2:
        raise SpecError(f"No list '{key}', fold {fold} in {path.name}; it holds folds and holdout, 0 to 2.")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    class_of, unit_of = {}, {}
    for label, patient, scan, letters in list(csv.reader(lines))[1:]:
        case, unit = f"p{patient}-s{scan}", f"{label}/{patient}"
        class_of[unit], unit_of[case] = label, unit
        held_out = letters == "VVV" if key == "holdout" else letters[fold] == "V"
        parts["test" if held_out else "val" if letters[fold] == "V" else "train"].append(case)
    test = tuple(parts["test"])
    return Listing(tuple(parts["train"]), tuple(parts["val"]) or test, test, class_of, unit_of)


def _ricord(paths: list[Path]) -> Listing:
    """Lists of series with their class; a patient (`<collection>/ID<site>-<pid>`) is a unit of label ratios."""
    train, val, test = (
        tuple(line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        for path in paths
    )
    unit_of = {case: case.partition("_date")[0] for case in (*train, *val, *test)}
    return Listing(train, val, test, {unit: unit.partition("/")[0] for unit in unit_of.values()}, unit_of)


def _medmnist(content: Any, flag: str, file: str) -> Listing:
    """The places in one file: `<flag>/<part>/<six digits>`; the counts are those of the current release."""
    counts = _at(content, f"{flag}/n", file)
    train, val, test = (tuple(f"{flag}/{part}/{i:06d}" for i in range(counts[part])) for part in MEDMNIST_PARTS)
    return Listing(train, val, test)


def _luna_subsets(content: Mapping[str, Any], key: str) -> Listing:
    """Scans by the owners' ten folders; `0-5/6/7-9` names the subsets of train, val and test."""
    parts = []
    for span in key.split("/"):
        first, _, last = span.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        parts.append(tuple(LUNA_PREFIX + unit[1:] for k in numbers for unit in content[f"subset_{k}"]))
    train, val, test = parts
    return Listing(train, val, test)


def _from_json(rule: SplitRule, folder: Path, fold: int) -> Listing:
    content = _json(_list_file(folder, rule.file))
    found = _at(content, rule.key, rule.file)
    if rule.by_fold:
        return _of_folds(found, fold, rule, content.get("all", ()))
    if not isinstance(found, Mapping) or "train" not in found or not {"val", "test"} & set(found):
        raise SpecError(
            f"'{rule.key}' in {rule.file} holds {_names(found)}, no train with val or test.", remedy="Name another key."
        )
    test = found.get("test", found.get("val"))
    return Listing(_ids(found["train"]), _ids(found.get("val", test)), _ids(test))


def _of_folds(found: Any, fold: int, rule: SplitRule, everything: Iterable[object]) -> Listing:
    """One fold is val and test; train is `everything` else, or the other folds where the file does not list everything."""
    if not isinstance(found, Mapping) or str(fold) not in found:
        raise SpecError(
            f"No fold {fold} in '{rule.key}' of {rule.file}; it holds {_names(found)}.", remedy="Take one of these."
        )
    test = _ids(found[str(fold)])
    others = {case for name, part in found.items() if name != str(fold) for case in _ids(part)}
    return Listing(tuple(sorted(set(_ids(everything)) - set(test) or others)), test, test)


def _two_texts(rule: SplitRule, folder: Path) -> Listing:
    train, _, test = rule.file.partition("+")
    evaluation = read_list(folder, test)
    return Listing(read_list(folder, train), evaluation, evaluation)


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
    if mark.startswith("subset_"):
        return tuple(LUNA_PREFIX + unit[1:] for unit in content[mark])
    marked = [unit for name, part in content.items() if name.startswith("subset_") for unit in part]
    return tuple(LUNA_PREFIX + unit[1:] for unit in marked if unit[:1] == mark)


def _ids(units: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(unit) for unit in units)


def _names(found: Any) -> str:
    return ", ".join(map(str, list(found)[:12])) if isinstance(found, Mapping) else type(found).__name__
