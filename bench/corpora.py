"""Which volumes a method pre-trains on: a corpus by name, the task's own training volumes, or any folder. No torch.

`own` takes all training volumes of the task's split, whatever the label ratio: labels are unseen, so several ratios share
one pre-training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import registry
from bench.case_content import content_hash
from bench.cases import TaskCases
from bench.contracts.cards import CorpusCard, CorpusMember, TaskCard
from bench.contracts.configs import Intensity, Spacing
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing
from bench.contracts.protocols import Layout, Protocol
from bench.contracts.record import Record, Source
from bench.corpus_words import corpus_word, demand_offered
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.exposure import declared_by
from bench.data.official import cut_short
from bench.data.splits import read_list
from bench.datasets_file import find_folder
from bench.spec import RunSpec
from bench.train.progress import Progress

ID_DIGITS = 8
PRETRAINING_CT = Intensity("hu", (-1000.0, 1000.0))


@dataclass(frozen=True, kw_only=True)
class CorpusCases:
    """The volumes of a corpus: records by folder, how their voxels are read (`stored_values` as a `Protocol` has it), and what is
    told of them."""

    key: str
    members: tuple[tuple[Path, tuple[Record, ...]], ...]
    intensity: Intensity
    spacing_mm: Spacing | None
    channels: int
    printed: int
    content_hash: str
    source: Source
    notes: tuple[str, ...] = ()
    named_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # task -> datasets whose names are its own
    exposes: Mapping[str, str] = field(default_factory=dict)  # task -> what the sets at hand declare
    stored_values: bool = False

    @property
    def found(self) -> int:
        return sum(len(records) for _, records in self.members)

    @property
    def id(self) -> str:
        """The corpus and 8 digits of what it holds; see `corpus_id`."""
        return corpus_id(self.key, self.content_hash)

    @property
    def told(self) -> str:
        """Example: `mim-10k#a1b2c3d4, 7,214/10,502`."""
        return f"{self.id}, {self.found:,}/{self.printed:,}"

    @property
    def offers(self) -> frozenset[str]:
        """What every case offers: a volume, and a report where all records hold one."""
        told = all(record.text for _, records in self.members for record in records)
        return frozenset({"volume", "report"} if told else {"volume"})


def corpus_id(key: str, content: str) -> str:
    """Which volumes a pool consists of, exactly: equal only where its files are, wherever they lie.

    Example: `mim-10k#a1b2c3d4`.
    """
    return f"{key}#{hashlib.sha256(content.encode()).hexdigest()[:ID_DIGITS]}"


def pool_content(card: CorpusCard, parts: Iterable[str]) -> str:
    """What decides a result of a pool: the hashes of the sets at hand, in the card's order, and what members are drawn by, where
    it is not evenly."""
    weights = [f"{member.key}*{member.weight:g}" for member in card.members if member.weight != 1.0]
    return " ".join([*parts, *weights])


def find_corpus(
    spec: RunSpec,
    task: TaskCard,
    protocol: Protocol,
    cases: TaskCases,
    environ: Mapping[str, str],
    phantoms: Path | None,
) -> CorpusCases | None:
    """The corpus of a run, found on disk; None where nothing is pre-trained.

    Raises DataMissing with what is possible instead: `--corpus own`, `--weights FILE`, `--phantom`.
    """
    word = corpus_word(spec)
    if word in ("none", "file"):
        return None
    if word in ("own", "folder"):
        found = _own(task, protocol, cases) if word == "own" else folder_corpus(Path(spec.corpus_root), task.modality)
        demand_offered(spec.method, word, found.offers)
        return found
    return named_corpus(
        word, Path(spec.corpus_root) if spec.corpus_root else None, environ, phantoms, partial=spec.partial
    )


def folder_corpus(root: Path, modality: str) -> CorpusCases:
    """Every volume below a folder, of one channel each, read at native spacing. `modality` CT means HU, MR means one z-score per
    volume."""
    if not root.name or not root.is_dir():
        raise DataMissing(
            f"--corpus folder needs a folder of volumes, found '{root}'.", remedy="Say where it is: --corpus-root DIR."
        )
    layout: Layout = registry.layout("nifti_folder").NiftiFolder()
    records = tuple(layout.records(root))
    if not records:
        raise DataMissing(
            f"No volume (.nii, .nii.gz) in {root}.", remedy="Point --corpus-root at the folder that holds them."
        )
    return CorpusCases(
        key="folder",
        members=((root, records),),
        intensity=PRETRAINING_CT if modality == "CT" else Intensity("zscore"),
        spacing_mm=None,
        channels=1,
        printed=len(records),
        content_hash=content_hash(root, records),
        source=records[0].source,
        notes=(f"a folder of {how_many(len(records), 'volume')}, read as {modality}",),
    )


def named_corpus(
    key: str, root: Path | None, environ: Mapping[str, str], phantoms: Path | None, *, partial: bool
) -> CorpusCases:
    """A corpus of the registry, from whichever members are on disk; all must be unless `partial`."""
    card = registry.corpus(key)
    members = [(member, member_records(member, root, environ, phantoms)) for member in card.members]
    found = [(folder, records) for _, (folder, records) in members if folder and records]
    absent = [member.key for member, (folder, records) in members if not (folder and records)]
    half = (
        [] if partial or phantoms else [line for m, (folder, records) in members for line in _half(m, folder, records)]
    )
    if not found or ((absent or half) and not partial and phantoms is None):
        lacking = ", ".join([*absent, *half])
        raise DataMissing(
            f"The pre-training corpus '{key}' ({card.printed:,} volumes; {card.page or card.title}) lacks {lacking}.",
            case=key,
            remedy="--corpus own (the task's own training volumes), --corpus-root DIR where it lies elsewhere (or once and for "
            f"all, set by set: bench data add {next(iter(absent), card.members[0].key)} DIR), --weights FILE for a trained "
            "encoder, --partial for the members at hand, or --phantom to try without data.",
        )
    everything = [record for _, records in found for record in records]
    count = len(everything)
    return CorpusCases(
        key=key,
        members=tuple(found),
        intensity=card.intensity,
        spacing_mm=card.spacing_mm,
        channels=1 if card.intensity.kind == "percentile" else len(everything[0].images),
        printed=card.printed,
        content_hash=pool_content(card, (content_hash(folder, records) for folder, records in found)),
        source=everything[0].source,
        notes=(*card.notes, *([f"{count:,} of {card.printed:,} volumes at hand"] if count != card.printed else [])),
        named_as=_named_as((member, records) for member, (_, records) in members),
        exposes=declared_by(card, {member.key for member, (folder, records) in members if folder and records}),
    )


def _named_as(found: Iterable[tuple[CorpusMember, Sequence[Record]]]) -> dict[str, tuple[str, ...]]:
    """Task -> the datasets of this corpus whose cases bear the task's own names."""
    datasets: dict[str, set[str]] = {}
    for member, records in found:
        for task in member.named_as:
            datasets.setdefault(task, set()).update(record.dataset for record in records)
    return {task: tuple(sorted(names)) for task, names in datasets.items()}


def cached_corpus(corpus: CorpusCases, cache: Path, progress: Progress | None = None) -> CachedCases:
    """Preprocess a corpus into the cache, members joined."""
    recipe = CacheRecipe(
        spacing_mm=corpus.spacing_mm,
        intensity=corpus.intensity,
        stored_values=corpus.stored_values,
        version=2 if corpus.intensity.kind == "percentile" else 1,  # wide images are shrunk otherwise since
    )
    parts = [prepare(folder, list(records), recipe, cache, progress=progress) for folder, records in corpus.members]
    return CachedCases.joined(parts)


def _own(task: TaskCard, protocol: Protocol, cases: TaskCases) -> CorpusCases:
    records = tuple(record.model_copy(update={"label": type(record.label)()}) for record in cases.pick(cases.pool))
    hounsfield = protocol.intensity.kind == "hu" and not protocol.stored_values
    return CorpusCases(
        key="own",
        members=((cases.folder, records),),
        intensity=PRETRAINING_CT if hounsfield else protocol.intensity,
        spacing_mm=protocol.spacing_mm,
        channels=task.channels,
        printed=len(cases.listed.train),
        content_hash=content_hash(cases.folder, records),
        source=cases.source,
        notes=(f"the task's own {how_many(len(records), 'training volume')}, labels unseen",),
        stored_values=protocol.stored_values,
    )


def member_records(
    member: CorpusMember, root: Path | None, environ: Mapping[str, str], phantoms: Path | None
) -> tuple[Path | None, tuple[Record, ...]]:
    """Where a member of a corpus lies and the records of its listed volumes there; None and nothing where it is absent."""
    folder = find_folder(member.files, member.key, member.folders, phantoms or root, {} if phantoms else environ)
    if folder is None:
        return None, ()
    records = member.files.records(folder)
    if member.cases:
        wanted = set(read_list(registry.splits_folder(), *member.cases))
        records = [record for record in records if record.case_id in wanted]
    return folder, tuple(_told(record, member) for record in records)


def _told(record: Record, member: CorpusMember) -> Record:
    """A record that also says of which member it is, how often it is drawn, how often it would be were all members drawn alike,
    and which tasks know its image."""
    alone = float(record.meta.get("weight", 1.0))
    own = {"dataset": member.key, "weight": member.weight * alone, "image_weight": alone}
    return record.model_copy(update={"meta": {**record.meta, **own, "overlaps": member.overlaps}})


def _half(member: CorpusMember, folder: Path | None, records: tuple[Record, ...]) -> list[str]:
    """What a member that is there lacks of its list of cases and of its owners' tables, in words; nothing where it is whole."""
    if folder is None or not records:
        return []
    here = {record.case_id for record in records}
    wanted = read_list(registry.splits_folder(), *member.cases) if member.cases else ()
    missing = [case for case in wanted if case not in here]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    told = [f"{how_many(len(missing), 'volume')} of {member.key} ({', '.join(missing[:3])}{more})"] if missing else []
    return told + [
        f"a part of {member.key} (it holds {what})" for what in cut_short(member.files, folder, records[0].source)
    ]
