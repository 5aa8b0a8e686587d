"""The words of one run, frozen and checked: no file is read and no method imported."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bench.contracts.cards import PRESETS
from bench.contracts.errors import SpecError, nearest

Room = Literal["run", "pretrain"]
_OPEN: tuple[frozenset[str], str] = (frozenset(), "")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What `bench run` was asked for. `settings` are (phase or '', key, value as typed), in the order given.

    `corpus` '' takes the method's own; `root` and `corpus_root` '' look in the environment. `weights` is a file that
    stands in for pre-training. `fold` picks one of a protocol's folds.
    """

    method: str
    task: str
    variant: str = ""
    target: str = ""
    protocol: str = "bench"
    ratio: float = 1.0
    preset: str = "full"
    corpus: str = ""
    corpus_root: str = ""
    weights: str = ""
    root: str = ""
    seed: int = 0
    fold: int = 0
    settings: tuple[tuple[str, str, str], ...] = ()
    phantom: bool = False
    partial: bool = False
    exclude_exposed: bool = False

    def words(self, room: Room = "run", *, paths: bool = False) -> str:
        """The run, or its pre-training alone, as a command line that repeats it, results folder and device left out.

        With `paths` it says where files lie, and tells every digit of the ratio: what a record need not, another process must know.
        """
        whole = room == "run"
        parts = [f"bench {room}", f"--method {at(self.method, self.variant)}", f"--task {at(self.task, self.target)}"]
        parts += [f"--protocol {self.protocol}"] if self.protocol != "bench" else []
        parts += [f"--ratio {repr(self.ratio) if paths else f'{self.ratio:.12g}'}"] if whole else []
        parts += [f"--preset {self.preset}"]
        parts += [f"--corpus {self.corpus}"] if self.corpus else []
        parts += [f"--seed {self.seed}"] if whole else []
        parts += [f"--fold {self.fold}"] if self.fold else []
        parts += [
            f"--set {shlex.quote(f'{phase}.{key}={value}' if phase else f'{key}={value}')}"
            for phase, key, value in self.settings
        ]
        parts += [f"--weights {shlex.quote(self.weights) if paths else 'FILE'}"] if self.weights else []
        parts += [f"--corpus-root {shlex.quote(self.corpus_root) if paths else 'DIR'}"] if self.corpus_root else []
        parts += [f"--root {shlex.quote(self.root)}"] if self.root and paths else []
        parts += ["--partial"] if self.partial else []
        parts += ["--phantom"] if self.phantom else []
        parts += ["--exclude-exposed"] if self.exclude_exposed and whole else []
        return " ".join(parts)


def make_spec(*, method: str, task: str, settings: tuple[str, ...] = (), **words: Any) -> RunSpec:
    """Turn typed words into a spec; `name@part` is split. Raises SpecError on a ratio, preset or setting that cannot be."""
    ratio = float(words.get("ratio", 1.0))
    if not (math.isfinite(ratio) and 0 < ratio <= 1):
        raise SpecError(
            f"The label ratio must lie in (0, 1], found {ratio:g}.",
            remedy="Say for example --ratio 0.25 for a quarter.",
        )
    preset = words.get("preset", "full")
    if preset not in PRESETS:
        raise SpecError(
            f"No preset '{preset}'. {nearest(preset, PRESETS)}Possible: {', '.join(PRESETS)}.",
            remedy="What a preset of a method holds: bench show METHOD --preset small",
        )
    for word in ("seed", "fold"):
        if words.get(word, 0) < 0:
            raise SpecError(f"--{word} must be 0 or more, found {words[word]}.", remedy=f"For example: --{word} 0")
    method_name, _, variant = method.partition("@")
    task_name, _, target = task.partition("@")
    parsed = tuple(parse_setting(text) for text in settings)
    words["ratio"] = ratio  # 1 and 1.0 would be two keys
    spec = RunSpec(method=method_name, variant=variant, task=task_name, target=target, settings=parsed, **words)
    if spec.weights and (spec.corpus or spec.corpus_root):
        raise SpecError(
            "--weights takes the place of pre-training, so it cannot stand beside --corpus.", remedy="Leave one out."
        )
    return spec


def parse_setting(text: str) -> tuple[str, str, str]:
    """`[phase.]key=value` -> (phase or '', key, value)."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SpecError(
            f"--set takes [phase.]key=value, found '{text}'.", remedy="For example --set finetune.steps=200."
        )
    phase, dot, key = name.rpartition(".")
    return (phase if dot else "", key, value)


def apply_settings(
    configs: dict[str, Any],
    settings: tuple[tuple[str, str, str], ...],
    *,
    closed: Mapping[str, tuple[frozenset[str], str]] | None = None,
) -> dict[str, Any]:
    """Set values in configs by phase: a bare key goes to every phase that has it, `phase.key` to one.

    `closed` names keys of a phase that nothing asks, and why (a method without pre-training has a config but no steps): a bare
    key leaves them alone. A value is read by the field's type. Raises SpecError with the nearest key, and with what is possible.
    """
    shut = closed or {}
    open_ = {name: _fields(config) - shut.get(name, _OPEN)[0] for name, config in configs.items()}
    for phase, key, text in settings:
        if phase and phase not in configs:
            raise SpecError(
                f"No phase '{phase}' here. {nearest(phase, configs)}Possible: {', '.join(configs)}.",
                case=phase,
                remedy=f"For example: --set {next(iter(configs))}.{key}={text}",
            )
        reach = [phase] if phase else list(configs)
        hit = [name for name in reach if key in open_[name]]
        if not hit and (name := next((name for name in reach if key in shut.get(name, _OPEN)[0]), "")):
            raise SpecError(
                f"{shut[name][1]}, so the phase '{name}' has no '{key}' here.",
                case=key,
                remedy=next((f"Of {o}: --set {o}.{key}={text}" for o in open_ if key in open_[o]), "Leave it out."),
            )
        if not hit:
            possible = sorted({k for name in reach for k in open_[name]})
            raise SpecError(
                f"No setting '{key}' in {', '.join(reach)}. {nearest(key, possible)}".strip(),
                case=key,
                remedy="All of them: bench show METHOD",
            )
        for name in hit:
            value = read_value(text, get_type_hints(type(configs[name]))[key], key)
            try:
                configs = {**configs, name: dataclasses.replace(configs[name], **{key: value})}
            except SpecError as error:
                raise of_phase(error, phase) from error
    return configs


def of_phase(error: SpecError, phase: str) -> SpecError:
    """What a config refuses, its remedies for this phase alone: a config does not know its own. '' leaves them for every phase."""
    remedy = re.sub(r"--set (?=\w+=)", f"--set {phase}." if phase else "--set ", error.remedy)
    return SpecError(error.message, case=error.case, remedy=remedy)


BY_ITSELF = "What it is by itself: bench show METHOD, bench show TASK"
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a finite number"}


def read_value(text: str, kind: Any, key: str) -> Any:
    """A typed word as a value of a field's type: numbers, true/false, words, and tuples written `1,2,3`."""
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind in (int, float):
            value = kind(text.replace("_", ""))
            if not math.isfinite(value):
                raise ValueError(text)
            return value
        if kind is str:
            return text
        if get_args(kind) and all(isinstance(word, str) for word in get_args(kind)) and get_origin(kind) is not tuple:
            return _one_of(text, get_args(kind), key)
        if get_origin(kind) is tuple:
            return _read_tuple(text, get_args(kind), key)
    except (ValueError, KeyError) as error:
        raise SpecError(
            f"--set {key}: expected {_EXPECTED.get(kind, str(kind))}, found '{text}'.",
            case=key,
            remedy=BY_ITSELF,
        ) from error
    raise SpecError(
        f"--set {key}: a value of type {kind} cannot be typed on the command line.", case=key, remedy="Leave it out."
    )


def _read_tuple(text: str, kinds: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    words = [word for word in text.strip("()").split(",") if word.strip()]
    kinds = (kinds[0],) * len(words) if kinds[-1] is Ellipsis else kinds
    if len(words) != len(kinds):
        raise SpecError(
            f"--set {key}: expected {len(kinds)} values joined by commas, found '{text}'.", case=key, remedy=BY_ITSELF
        )
    return tuple(read_value(word.strip(), kind, key) for word, kind in zip(words, kinds, strict=True))


def _one_of(text: str, possible: tuple[str, ...], key: str) -> str:
    if text not in possible:
        raise SpecError(
            f"--set {key}: no '{text}'. {nearest(text, possible)}Possible: {', '.join(possible)}.",
            case=key,
            remedy=BY_ITSELF,
        )
    return text


def _fields(config: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def at(name: str, part: str) -> str:
    """A method with its variant, a task with its target, as they are typed."""
    return f"{name}@{part}" if part else name
