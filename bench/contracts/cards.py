"""What a method, a task and a corpus say of themselves: plain values, no torch, so that words are checked in a second.

A little longer than 250 lines because whoever writes a card should see every sort of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from bench.contracts.configs import FineTuneConfig, Intensity, MethodConfig, Spacing, phases
from bench.contracts.errors import PluginBroken, nearest
from bench.contracts.protocols import Layout, Protocol
from bench.contracts.recipes import PromptRecipe, ReportRecipe, RetrievalRecipe

Modality = Literal["CT", "MR", "XR", "US", "FP", "EM", "PATH", "SHAPE", "mixed"]


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """What every task's card says: no code, only facts. `kind` names the machinery in `tasks/kinds/`.

    `classes` are the foreground labels 1, 2, ... of a segmentation, the classes 0, 1, ... of a classification, the findings
    of a multi-label task, and empty where a task has none. `dims` 2 marks images of one slice. `text_targets` names the
    targets ('' is the task without one) that need an encoder with image and text in one space.
    """

    title: str
    version: int
    modality: Modality
    files: Layout
    classes: tuple[str, ...]
    protocols: Mapping[str, Protocol]
    channels: int = 1
    dims: int = 3
    targets: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    text_targets: tuple[str, ...] = ()
    label_values: Mapping[int, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(
        default_factory=dict
    )  # official number of cases, labelled and unlabelled; of scans or patients where each holds several or none
    archives: Mapping[str, str] = field(
        default_factory=dict
    )  # the owners' archive -> its md5, checked where it still lies
    folders: tuple[str, ...] = ()  # the dataset's official folder names, looked for below --root
    gigabytes: float = 0.0
    licence: str = ""
    page: str = ""
    citation: str = ""
    hu: tuple[float, float] | None = None  # plausible range of stored values, None where they have no unit
    cut_to_organ: bool = False  # a CT shows little but an organ full of contrast agent: no air tells its unit
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # a paper that prints this name -> the task it means
    twins_told: bool = False  # the owners' own split may hold one image on both sides: told, not refused
    kind: str

    def under(self, protocol: Protocol) -> Self:
        """The card as a protocol reads its data, and where those are to be had."""
        return replace(self, files=protocol.files, page=protocol.page or self.page) if protocol.files else self


@dataclass(frozen=True, kw_only=True)
class SegmentationTask(TaskCard):
    """Labels are 1, 2, ... in the order of `classes`; 0 is background.

    `targets` maps a target's name to merged classes: `{"organ": {"liver": ("liver", "tumour")}}`; a class left out is
    background. `label_values` maps what stands in the files to the labels where they differ (255 -> 1).
    """

    kind: str = "segmentation"


@dataclass(frozen=True, kw_only=True)
class ClassificationTask(TaskCard):
    """One label per case: 0, 1, ... in the order of `classes`, or with `multilabel` one yes or no per class."""

    multilabel: bool = False
    kind: str = "classification"


@dataclass(frozen=True, kw_only=True)
class ReportTask(TaskCard):
    """A volume in, a report out."""

    kind: str = "report"


@dataclass(frozen=True, kw_only=True)
class PromptTask(TaskCard):
    """Findings (`classes`) judged by the similarity of a volume to a sentence that affirms and one that denies each."""

    kind: str = "prompts"


@dataclass(frozen=True, kw_only=True)
class RetrievalTask(TaskCard):
    """Reports ask, volumes answer: the rank of each report's own volume in a gallery."""

    kind: str = "retrieval"


@dataclass(frozen=True, kw_only=True)
class CorpusMember:
    """One set of volumes in a pre-training corpus. `cases` names a list in `tasks/splits/` (file, key); empty takes all.

    `named_as` are the tasks whose cases, or the scans in which they lie, bear the same names, so that a test case is known
    again by its name. `weight` is how
    often its images are drawn, beside 1; `overlaps` are the tasks whose images it holds, under whatever names, `exposes` what to
    say of such a task where this set alone holds a part of them, or it is not known how many. `phantoms` says how many phantom
    cases it has by size, where the usual number is not right (0: none are written).
    """

    key: str
    files: Layout
    folders: tuple[str, ...]
    printed: int
    cases: tuple[str, str] | None = None
    named_as: tuple[str, ...] = ()
    weight: float = 1.0
    overlaps: tuple[str, ...] = ()
    exposes: Mapping[str, str] = field(default_factory=dict)
    phantoms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CorpusCard:
    """A pre-training pool. `printed` is the paper's count. `spacing_mm` None keeps native voxels.

    Every test case of a task that a member `overlaps` counts as seen, unless that member is `named_as` the task: then each is
    looked up. `exposes` maps such a task to other words: a text that starts with `all` says whence, any other counts nothing
    and is passed on (a part, or not known for sure). Where no set is there but those that say so themselves, theirs hold.
    """

    title: str
    version: int
    modality: Modality
    members: tuple[CorpusMember, ...]
    printed: int
    intensity: Intensity
    key: str = ""  # where it differs from the file's name: a key may hold '-' and '.'
    spacing_mm: Spacing | None = None
    offers: frozenset[str] = frozenset({"volume"})
    exposes: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    page: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """A method's card. `build(config, sight)` gives the pre-training `Method`, `encoder(config, sight)` what fine-tuning sees.

    `build` None means no pre-training. Presets are configs, or a mapping of phase name to config where a method has
    several phases. `variants` maps a name to the fields it changes; `on_corpus` a corpus to those that its paper sets
    otherwise on it, and "ct-rate-10k ref_code" to those of its code: the other presets size the length. `decoder` names the
    segmentation decoder in `bench.nets.decoders`. `finetune` maps a preset, or a preset and a kind of task ("small
    classification"), to the recipe fields that this method needs otherwise than its tasks say.
    `offers` says what its encoder gives besides features of volumes: `text` means `Encoder.describe` and `image_vector`.
    """

    title: str
    version: int
    family: str
    paper: str
    decoder: str
    encoder: Callable[..., Any]
    full: Any
    small: Any
    tiny: Any
    build: Callable[..., Any] | None = None
    ref_code: Any = None
    needs: frozenset[str] | set[str] = frozenset({"volume"})
    dims: frozenset[int] | set[int] = frozenset({3})
    offers: frozenset[str] | set[str] = frozenset()
    corpus: str = "none"
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    on_corpus: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    finetune: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    licence: str = ""

    def __post_init__(self) -> None:
        """Raises PluginBroken where only one of `build` and `corpus` tells of a pre-training, a preset is no config, presets part
        in their phases, or what changes fields names one that no config has: it would change nothing, and be recorded as if it
        had."""
        self._demand_sets()
        self._demand_corpus()
        self._demand_configs()
        given = [phases(preset) for preset in (self.full, self.small, self.tiny, self.ref_code) if preset is not None]
        if len({tuple(preset) for preset in given}) > 1:
            raise PluginBroken(
                f"presets name different phases: {', '.join('/'.join(preset) for preset in given)}.",
                case=self.title,
                remedy="Every preset on the card must give a config for each phase, in their order.",
            )
        own = {f.name for preset in given for config in preset.values() for f in fields(config)}
        recipe = {f.name for f in fields(FineTuneConfig)}
        self._demand("variants", self.variants, own | recipe | {"decoder"})
        self._demand("on_corpus", self.on_corpus, own)
        for word, changed in self.finetune.items():
            preset, _, kind = word.partition(" ")
            if preset not in PRESETS or (kind and kind not in KINDS):
                raise PluginBroken(
                    f"`finetune` speaks of '{word}', which is no preset, nor a preset and a kind of task.",
                    case=self.title,
                    remedy=f"Presets: {', '.join(PRESETS)}; kinds: {', '.join(KINDS)}.",
                )
            of_kind = {f.name for f in fields(RECIPES.get(kind, FineTuneConfig))}
            self._demand("finetune", {word: changed}, of_kind)

    def _demand_sets(self) -> None:
        for name in ("needs", "dims", "offers"):
            value = getattr(self, name)
            if not isinstance(value, (set, frozenset)):
                raise PluginBroken(
                    f"`{name}` is {value!r}, asked for a set.", case=self.title, remedy=f"Write {name}={{{value!r}}}."
                )

    def _demand_corpus(self) -> None:
        if (self.build is None) != (self.corpus == "none"):
            told = "a `build` and no `corpus`" if self.build else f"the corpus '{self.corpus}' and no `build`"
            raise PluginBroken(
                f"the card names {told}: a method that pre-trains has both, one from scratch neither.",
                case=self.title,
                remedy='Add the one that lacks: `corpus` is a key of bench list corpora or "own", `build` the Method.',
            )

    def _demand_configs(self) -> None:
        for name in PRESETS:
            held: Mapping[str, object] = phases(getattr(self, name)) if getattr(self, name) is not None else {}
            wrong = next((config for config in held.values() if not isinstance(config, MethodConfig)), None)
            if wrong is not None:
                of_type = f"a value of type {type(wrong).__name__}"
                raise PluginBroken(
                    f"`{name}` holds {f'the class {wrong.__name__}' if isinstance(wrong, type) else of_type}, asked for a config.",
                    case=self.title,
                    remedy=f"Write {name}=Config(steps=...), Config being the method's own, derived from MethodConfig.",
                )

    def _demand(self, where: str, changes: Mapping[str, Mapping[str, Any]], possible: set[str]) -> None:
        for name, changed in changes.items():
            for wrong in sorted(set(changed) - possible):
                raise PluginBroken(
                    f"`{where}` changes '{wrong}' for '{name}', a field that no config here has. "
                    f"{nearest(wrong, possible)}".strip(),
                    case=self.title,
                    remedy=f"Correct `{where}` on the method's card.",
                )

    def recipe_changes(self, preset: str, kind: str) -> dict[str, Any]:
        """What `finetune` says of a preset and a kind of task; the kind's own goes before."""
        return {**self.finetune.get(preset, {}), **self.finetune.get(f"{preset} {kind}", {})}


KINDS = tuple(card.kind for card in (SegmentationTask, ClassificationTask, ReportTask, PromptTask, RetrievalTask))
RECIPES = {"report": ReportRecipe, "prompts": PromptRecipe, "retrieval": RetrievalRecipe}
"""The recipes of kinds that ask for more than FineTuneConfig."""
PRESETS = ("full", "small", "tiny", "ref_code")
