"""One run from a spec to a cell: the rooms in order, top to bottom. Each reads only what the one before left on disk.

Longer than 250 lines because the rooms, and what each hands to the next, are to be read in one place.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench import finetune as finetune_room
from bench import pretrain as pretrain_room
from bench import registry
from bench.blueprint import blueprint
from bench.cases import cached
from bench.cell_of_run import make_cell
from bench.chain import Chain, find, resolve
from bench.check_words import check_words
from bench.checked import checked
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.record import Cell
from bench.corpora import cached_corpus
from bench.data.cache import CachedCases
from bench.data.digest import sha256_of_folder
from bench.data.exposure import Exposure, write_seen
from bench.data.find import from_home
from bench.data.manifest import Manifest, build, write
from bench.exposed import check_twins, exposure_at
from bench.figure import draw_curves
from bench.figures.cases import CaseImages, best_median_worst, rank_cases
from bench.figures.pictures import draw_pictures
from bench.keys import short
from bench.phantom_data import phantoms_for
from bench.predict import predict
from bench.promises import demand_network
from bench.score import Scores, score
from bench.spec import RunSpec
from bench.store import Store
from bench.train.checkpoint import load_weights
from bench.train.hardware import demand_hardware
from bench.train.loop import Hardware
from bench.train.progress import Progress
from bench.train.ranks import first_says, is_first


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run works: results folder, cache, environment, hardware, progress. Nothing here decides a result."""

    results: Path
    cache: Path
    environ: Mapping[str, str]
    hardware: Hardware = field(default_factory=Hardware)
    progress: Progress | None = None

    @classmethod
    def at(cls, results: Path | str, **parts: Any) -> Place:
        """A results folder, the cache beside its results or at $BENCH_CACHE, this process's environment; `parts` are fields."""
        environ: Mapping[str, str] = parts.pop("environ", os.environ)
        told = environ.get("BENCH_CACHE")
        cache = from_home(Path(told)) if told else Path(results) / "cache"
        return cls(**{"results": Path(results), "cache": cache, "environ": environ, **parts})

    def folder(self, room: str, key: str) -> Path:
        return self.results / "runs" / room / short(key)


def resolve_at(spec: RunSpec, place: Place) -> Chain:
    """Find data (phantoms are written where asked for), then resolve; nothing is trained."""
    check_words(spec)
    if spec.phantom:
        blueprint(spec)  # settings too are refused before minutes of drawing
    phantoms = phantoms_for(spec, place.results, place.progress) if spec.phantom else None
    chain = resolve(find(spec, place.environ, phantoms))
    return without_exposed(chain, place) if spec.exclude_exposed else chain


def without_exposed(chain: Chain, place: Place) -> Chain:
    """The chain whose test cases pre-training has not seen. Reads the corpus' voxels, so both sets are prepared first.

    Raises DataMissing where none is left, SpecError where nobody can know what was seen.
    """
    words = chain.words
    if words.corpus is not None and (folder := seen_folder(chain, place)) is not None:
        write_seen(folder, cached_corpus(words.corpus, place.cache, place.progress).seen())
    found = exposure(chain, place, task_volumes(chain, place))
    if found.summary.startswith("unknown"):
        raise SpecError(
            f"--exclude-exposed needs to know what pre-training saw; {found.summary}.",
            case=words.spec.method,
            remedy="Leave it out, or pre-train here.",
        )
    cases = words.cases.without(tuple(found.cases))
    if not cases.here.test:
        raise DataMissing(
            f"All {len(words.cases.here.test)} test cases were seen in pre-training; none is left to test on.",
            case=words.spec.task,
            remedy="Take another corpus (--corpus own), or leave --exclude-exposed out.",
        )
    return resolve(dataclasses.replace(words, cases=cases))


def seen_folder(chain: Chain, place: Place) -> Path | None:
    """Where the list of what pre-training saw lies; None where nothing is pre-trained."""
    first = next(iter(chain.blueprint.phases), None)
    return place.folder("pretrain", chain.keys[f"pretrain:{first}"]) if f"pretrain:{first}" in chain.keys else None


def exposure(chain: Chain, place: Place, cases: CachedCases) -> Exposure:
    """What pre-training has seen of the test cases."""
    words = chain.words
    tests = {case: words.cases.records[case].scan_id for case in words.cases.here.test}
    return exposure_at(words.corpus, words.corpus_word, seen_folder(chain, place), words.spec.task, cases, tests)


def run(spec: RunSpec, place: Place) -> Cell | None:
    """Run whatever is not there yet and return the cell. A finished cell is returned as it stands.

    Of several processes that train one model together, only the first predicts, scores and records; the others return None.
    """
    chain = resolve_at(spec, place)
    store = Store(place.results)
    done = store.find(chain.key)
    if first_says(done is not None):
        return done if is_first() else None
    demand_machine(chain, place)
    cases = task_volumes(chain, place)
    encoder = pretrain(chain, place)
    finetune(chain, place, cases, encoder)
    if not is_first():
        return None
    predict_tests(chain, place, cases)
    scores = score_tests(chain, place, cases)
    hashed = sha256_of_folder(predictions_folder(chain, place)) or ""
    seen = exposure(chain, place, cases)
    cell = make_cell(chain, trainings(chain, place), scores, hashed, manifest_of(chain, place), seen)
    draw(chain, place, cases, scores)  # before the record, with which a repeated command has nothing left to do
    return store.write(cell, scores.rows)


def demand_machine(chain: Chain, place: Place) -> None:
    """Raises SpecError where this hardware cannot do a training that is still due: told before volumes are prepared, and before
    an encoder is trained for a fine-tuning that cannot be."""
    plan, keys = chain.blueprint, chain.keys
    due = [plan.setup.recipe] if not finetune_room.finished(place.folder("finetune", keys["finetune"])) else []
    due += [
        config
        for name, config in plan.phases.items()
        if (key := keys.get(f"pretrain:{name}")) and not pretrain_room.finished(place.folder("pretrain", key))
    ]
    for config in due:
        demand_hardware(place.hardware, config.precision)


def task_volumes(chain: Chain, place: Place) -> CachedCases:
    """The preprocessed volumes of the run's task."""
    words, here = chain.words, chain.words.cases.here
    cases = cached(words.cases, words.task, chain.blueprint.setup.protocol, place.cache, place.progress)
    training = here.train if here.selects_on_test else (*here.train, *here.val)
    if not words.task.twins_told:
        check_twins(cases, training, here.test, words.spec.task)
    return cases


def pretrain(chain: Chain, place: Place) -> Path | None:
    """The encoder's weights: trained here, found here, brought by the user, or None for scratch."""
    spec, plan = chain.words.spec, chain.blueprint
    if spec.weights:
        return Path(spec.weights)
    if chain.words.corpus is None or chain.sight is None:
        return None
    keys = {name: chain.keys[f"pretrain:{name}"] for name in plan.phases}
    folders = {name: place.folder("pretrain", key) for name, key in keys.items()}
    last = folders[list(plan.phases)[-1]]
    stood = first_says(pretrain_room.finished(last))
    if not stood:
        demand_network(chain)
        corpus = cached_corpus(chain.words.corpus, place.cache, place.progress)
        if is_first():
            write_seen(next(iter(folders.values())), corpus.seen())
        pretrain_room.pretrain(
            plan.method, spec.method, plan.phases, corpus, chain.sight, keys, folders, place.hardware, place.progress
        )
    for name, folder in folders.items() if is_first() else ():
        if not (stood and (folder / "curves.png").exists()):  # a command may have ended between training and drawing
            draw_pictures(folder)
            draw_curves(folder, title=f"{spec.method} {name}")
    return last / "encoder.safetensors"


def finetune(chain: Chain, place: Place, cases: CachedCases, encoder: Path | None) -> Path:
    """The fine-tuned model's weights."""
    spec, plan, here = chain.words.spec, chain.blueprint, chain.words.cases
    folder = place.folder("finetune", chain.keys["finetune"])
    path = finetune_room.finetune(
        plan.method,
        spec.method,
        plan.architecture,
        plan.setup,
        registry.kind(chain.words.task.kind),
        cases,
        {"train": here.train, "val": here.here.val, "test": here.here.test},
        encoder,
        foreign=bool(spec.weights),
        key=chain.keys["finetune"],
        folder=folder,
        hardware=place.hardware,
        progress=place.progress,
    )
    if is_first():
        draw_curves(folder, title=f"{spec.method} on {spec.task}, fine-tuning")
    return path


def trained_model(chain: Chain, place: Place) -> Any:
    """The fine-tuned network, read from disk."""
    spec, plan = chain.words.spec, chain.blueprint
    kind: Any = registry.kind(chain.words.task.kind)
    model = finetune_room.build_model(
        plan.method, spec.method, plan.architecture, plan.setup, kind, plan.setup.recipe.seed
    )
    model.load_state_dict(load_weights(place.folder("finetune", chain.keys["finetune"]) / "model.safetensors")[0])
    return model


def predictions_folder(chain: Chain, place: Place) -> Path:
    """Where the predictions of a run lie."""
    return place.folder("predict", chain.keys["predict"]) / "predictions"


def predict_tests(chain: Chain, place: Place, cases: CachedCases) -> list[Path]:
    """Predictions of the test cases; those on disk are kept."""
    kind: Any = registry.kind(chain.words.task.kind)
    folder = predictions_folder(chain, place)
    wanted = chain.words.cases.here.test
    files = [folder / f"{case}{kind.suffix}" for case in wanted]
    if all(path.exists() for path in files):
        return files
    model = trained_model(chain, place)
    return predict(model, chain.blueprint.setup, kind, cases, wanted, folder, place.hardware, place.progress)


def score_tests(chain: Chain, place: Place, cases: CachedCases) -> Scores:
    """Scores of the stored predictions."""
    kind: Any = registry.kind(chain.words.task.kind)
    here = chain.words.cases
    folder = predictions_folder(chain, place)
    return score(chain.blueprint.setup, kind, here.folder, here.pick(here.here.test), cases, folder, place.progress)


def manifest_of(chain: Chain, place: Place) -> Manifest:
    """The manifest of the cases that the run used, left beside the model."""
    spec, words = chain.words.spec, chain.words
    found = build(
        spec.task,
        words.task,
        spec.protocol,
        folder=words.cases.folder,
        splits_folder=registry.splits_folder(),
        fold=spec.fold,
        ratio=spec.ratio,
        order=words.cases.order,
        checks=checked(words.cases),
    )
    write(found, place.folder("finetune", chain.keys["finetune"]))
    return found


def trainings(chain: Chain, place: Place) -> dict[str, dict[str, Any]]:
    """What each training of a run says of itself: fine-tuning, then the phases of pre-training."""
    told = {"finetune": finetune_room.trained(place.folder("finetune", chain.keys["finetune"]))}
    keys = {name: chain.keys.get(f"pretrain:{name}") for name in chain.blueprint.phases}
    return told | {name: pretrain_room.trained(place.folder("pretrain", key)) for name, key in keys.items() if key}


def draw(chain: Chain, place: Place, cases: CachedCases, scores: Scores) -> None:
    """Overlays of the best, the median and the worst test case, beside the predictions; none where no Dice is defined."""
    setup, folder = chain.blueprint.setup, place.folder("predict", chain.keys["predict"])
    if rank_cases(scores.rows):
        window = setup.sight.intensity.window_hu if setup.sight.intensity.kind == "hu" else None
        best_median_worst(scores.rows, partial(case_images, chain, place, cases), setup.classes, folder, window=window)


def case_images(chain: Chain, place: Place, cases: CachedCases, case: str) -> CaseImages:
    """A test case with its truth and its stored prediction on the grid that is scored."""
    kind: Any = registry.kind(chain.words.task.kind)
    here = chain.words.cases
    prediction = predictions_folder(chain, place) / f"{case}{kind.suffix}"
    return CaseImages(*kind.case_images(chain.blueprint.setup, here.folder, here.records[case], cases, prediction))


def outcome(cell: Cell, results: Path) -> dict[str, Any]:
    """What `bench run --json` prints of a cell."""
    return {
        "cell": cell.name,
        "path": str(results / "cells" / f"{cell.name}.json"),
        "source": cell.source,
        "protocol": cell.protocol,
        "scores": cell.scores,
        "n": cell.n,
    }
