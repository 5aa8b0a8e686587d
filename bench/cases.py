"""Task data: a task card, a protocol, a ratio and a fold become case lists, and later cached volumes. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import registry
from bench.contracts.cards import TaskCard
from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.protocols import Protocol
from bench.contracts.record import CHOSEN_BY_SEED, Record, Source
from bench.data.cache import CachedCases, prepare
from bench.data.cache_recipe import CacheRecipe
from bench.data.check_report import CheckReport
from bench.data.checks import check
from bench.data.intensity_check import check_intensity
from bench.data.labels import check_told
from bench.data.official import cut_short
from bench.data.parts import units
from bench.data.roster import Roster, roster_of
from bench.data.splits import (
    SALTS,
    Parts,
    check_hygiene,
    every_fold,
    folds_of,
    lists,
    nested,
    order_of,
    present,
)
from bench.data.volumes import label_map
from bench.datasets_file import find_task_folder
from bench.spec import RunSpec
from bench.task_words import demand_fold, protocol_of
from bench.train.progress import Progress
from bench.trust import Trust, trusted

SHOWN = 100  # missing ids named in one error; `bench data check` names all


@dataclass(frozen=True, kw_only=True)
class TaskCases:
    """The cases of one run. `listed` is what the split names, `here` what is on disk, `train` the labelled subset used, `order`
    which of our orders of the training units it was taken from (`bench.data.splits.order_of`).

    `cut_short` says of which of the owners' tables only a part is there; the split then names fewer cases than it should. `pool`
    are the training cases in the order in which pre-training draws from them.
    """

    folder: Path
    records: Mapping[str, Record]
    listed: Parts
    here: Parts
    train: tuple[str, ...]
    n_train_listed: int
    missing: tuple[str, ...]
    source: Source
    excluded: tuple[str, ...] = ()
    order: int = 0
    cut_short: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """What a record says of the choice of labelled cases, where a seed made it, and of which release the files are."""
        chosen = f"{CHOSEN_BY_SEED}: the training units are in the order of {SALTS[self.order]}"
        releases = {str(record.meta["release"]) for record in self.records.values() if record.meta.get("release")}
        of = (
            [f"the files are of release {' and '.join(sorted(releases))}"] if releases and self.source == "real" else []
        )
        return (*([chosen] if self.order else []), *of)

    @property
    def counted(self) -> str:
        """How many of the split's cases are there, `n of N`; where it lists groups, `n of N groups`."""
        everything = self.listed.everything()
        if self.listed.grouped:
            group_of, lost = _groups(self.records), set(self.missing)
            here = units((case for case in everything if case not in lost), group_of)
            return f"{len(here)} of {_total(self.listed, self.records)}"
        return f"{len(everything) - len(self.missing)} of {len(everything)}"

    @property
    def partial(self) -> str:
        """`n of N` where cases are missing, `n of N rows of` a table that is cut short, else ''."""
        return "; ".join([*([self.counted] if self.missing else []), *self.cut_short])

    def without(self, tests: Sequence[str]) -> TaskCases:
        """The same cases with some test cases left out."""
        kept = tuple(case for case in self.here.test if case not in set(tests))
        return replace(self, here=replace(self.here, test=kept), excluded=tuple(tests))

    def pick(self, case_ids: Sequence[str]) -> list[Record]:
        return [self.records[case] for case in case_ids]


def find_cases(spec: RunSpec, card: TaskCard, root: Path | None, environ: Mapping[str, str]) -> TaskCases:
    """Find the dataset and cut the split to it. Reads names and headers, no voxels.

    Raises DataMissing when the dataset is absent, when listed cases are missing or the owners' tables are cut short and
    `partial` was not asked for, or when a part has no case left.
    """
    protocol = protocol_of(card, spec.task, spec.protocol)
    card = card.under(protocol)
    demand_fold(spec, protocol)
    folder = find_task_folder(spec.task, card, root, environ, checked_by=_checked_by(spec.task, spec.protocol))
    records = _by_case(card.files.records(folder))
    roster = roster_of(card.files, folder, list(records.values()))
    listed = lists(protocol.split, registry.splits_folder(), spec.fold, roster)
    labelled = {case for case, record in records.items() if record.label.kind != "none"}
    here, missing = present(listed, labelled)
    check_intensity(spec.task, protocol, records.values())
    check_hygiene(here, {case: record.group for case, record in records.items()})
    check_told(card, (records[case] for case in here.everything()))
    source: Source = next(iter(records.values())).source if records else "real"
    short = cut_short(card.files, folder, source)
    if (missing or short) and not (spec.partial or source == "phantom"):
        raise _half_download(spec, folder, missing, _total(listed, records), short)
    pool = _in_one_order(here.train, spec, card, protocol, roster)
    order = order_of(protocol.split, here if source == "phantom" else listed, spec.ratio, spec.seed)
    if order:
        listed = lists(protocol.split, registry.splits_folder(), spec.fold, roster, order)
        here, _ = present(listed, labelled)
    if source == "phantom":
        listed = here  # a phantom is whole as it is
    subset = nested(listed.train, spec.ratio, protocol.split.count, listed.subsets, listed.unit_of)
    train = tuple(case for case in subset if case in labelled)
    for name, part, wanted in (("training", train, subset), ("test", here.test, listed.test)):
        if not part:
            raise DataMissing(
                f"None of {how_many(len(wanted), f'{name} case')} is on disk; first: {', '.join(wanted[:3])}.",
                case=spec.task,
                remedy=f"Complete the download in {folder}, or take a larger --ratio.",
            )
    return TaskCases(
        folder=folder,
        records=records,
        listed=listed,
        here=here,
        train=train,
        n_train_listed=len(subset),
        missing=() if source == "phantom" else tuple(missing),
        source=source,
        order=order,
        cut_short=short,
        pool=pool,
    )


def _in_one_order(
    train: tuple[str, ...], spec: RunSpec, card: TaskCard, protocol: Protocol, roster: Roster
) -> tuple[str, ...]:
    """The training cases in an order of their own, whatever seed or protocol lists them: that of the protocol `bench` where it
    lists the same, else that of their ids. What is drawn in pre-training goes by it, and its key tells the cases alone."""
    usual, folder = card.protocols.get("bench", protocol).split, registry.splits_folder()
    if usual == protocol.split:
        return train
    if spec.fold < folds_of(usual, folder):
        listed = [case for case in lists(usual, folder, spec.fold, roster).train if case in set(train)]
        if len(listed) == len(train):
            return tuple(listed)
    return tuple(sorted(train))


def cached(
    cases: TaskCases, card: TaskCard, protocol: Protocol, cache: Path, progress: Progress | None = None
) -> CachedCases:
    """Preprocess what the run uses (train, val, test) into the cache and open it."""
    values = label_map(len(card.classes), card.label_values) if card.kind == "segmentation" else None
    recipe = CacheRecipe.of(protocol, values)
    used = dict.fromkeys((*cases.here.train, *cases.here.val, *cases.here.test))
    return prepare(cases.folder, cases.pick(tuple(used)), recipe, cache, progress=progress)


def _by_case(records: Sequence[Record]) -> dict[str, Record]:
    """Records by case id; DataUnsound where two images bear one id, because nobody could say which one was used."""
    found: dict[str, Record] = {}
    for record in records:
        other = found.setdefault(record.case_id, record)
        if other is not record:
            raise DataUnsound(
                f"two images on disk bear this id: '{other.images[0].path}' and '{record.images[0].path}'.",
                case=record.case_id,
                remedy="Keep one of them.",
            )
    return found


def _groups(records: Mapping[str, Record]) -> dict[str, str]:
    return {case: record.group for case, record in records.items()}


def _total(listed: Parts, records: Mapping[str, Record]) -> str:
    """What a split lists, counted: `260 cases`, or `888 groups` of them."""
    everything = listed.everything()
    if listed.grouped:
        return how_many(len(units(everything, _groups(records))), "group")
    return how_many(len(everything), "case")


def _half_download(
    spec: RunSpec, folder: Path, missing: Sequence[str], total: str, short: Sequence[str]
) -> DataMissing:
    shown = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
    told = [f"{folder} holds {' and '.join(short)}."] if short else []
    if missing:
        told.insert(0, f"{folder} lacks {len(missing):,} of the {total} that the split names: {shown}.")
    return DataMissing(
        " ".join(told),
        case=spec.task,
        remedy=f"Complete the download (bench data check {_checked_by(spec.task, spec.protocol)} tells all that lacks), or add "
        "--partial to run on what is there.",
    )


def _checked_by(task: str, protocol: str) -> str:
    """The words behind `bench data check` that ask for a run's files: a protocol may have others than the task."""
    return task if protocol == "bench" else f"{task} --protocol {protocol}"


def check_task(
    task: str, protocol_name: str, root: str, *, partial: bool, environ: Mapping[str, str], trust: Trust | None = None
) -> CheckReport:
    """Check a task's files on disk against a protocol's split, and with `trust` against bench.lock: `bench data check`."""
    name = registry.known(registry.TASKS, task.partition("@")[0])
    card = registry.task(name)
    protocol = protocol_of(card, name, protocol_name)
    card = card.under(protocol)
    at = Path(root) if root else None
    folder = find_task_folder(name, card, at, environ, checked_by=_checked_by(name, protocol_name))
    records = card.files.records(folder)
    roster = roster_of(card.files, folder, records)
    first, *others = every_fold(protocol.split, registry.splits_folder(), roster)
    report = check(card, folder, first, other_folds=others, partial=partial, stored_values=protocol.stored_values)
    return report if trust is None else trusted(report, name, folder, records, trust, partial=partial)
