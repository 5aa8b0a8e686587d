"""The words that several commands share, with one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.spec import RunSpec

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Method = Annotated[str, typer.Option(help="Method, or method@variant. All: bench list methods.")]
Task = Annotated[str, typer.Option(help="Task, or task@target. All: bench list tasks.")]
Methods = Annotated[
    str, typer.Option("--method", help="Method, or method@variant; several joined by commas. All: bench list methods.")
]
Tasks = Annotated[
    str, typer.Option("--task", help="Task, or task@target; several joined by commas. All: bench list tasks.")
]
Ratios = Annotated[
    str, typer.Option("--ratio", help="Share of the training labels, in (0, 1]; several joined by commas.")
]
Ratio = Annotated[float, typer.Option(help="Share of the training labels, in (0, 1].")]
Seed = Annotated[int, typer.Option(help="Seed of fine-tuning; pre-training has its own: --set pretrain.seed=1.")]
Repeats = Annotated[int, typer.Option(min=1, help="How many seeds in a row; they share one pre-training.")]
Fold = Annotated[int, typer.Option(help="Fold, where the protocol has folds.")]
Preset = Annotated[str, typer.Option(help="full (the paper's), small (minutes on a CPU), tiny (seconds), ref_code.")]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol", help="bench (ours), a paper's (ar, spad, mim, mg3d) or one more of the task's: bench show TASK."
    ),
]
Corpus = Annotated[
    str,
    typer.Option(
        help="Pre-training corpus (bench list corpora), `own` (the task's training volumes), `folder` (any volumes, with "
        "--corpus-root) or `none` (from scratch). Default: the method's own. Of several methods those from scratch take none."
    ),
]
CorpusRoot = Annotated[
    str, typer.Option(help="Where the corpus lies; without --corpus any folder of volumes is the corpus.")
]
Weights = Annotated[str, typer.Option(help="A .safetensors encoder in place of pre-training.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")]
Devices = Annotated[int, typer.Option(min=1, help="How many devices share every batch (DDP over 1).")]
Partial = Annotated[
    bool, typer.Option("--partial", help="Run on the cases that are there; the result is marked n of N.")
]
ExcludeExposed = Annotated[
    bool, typer.Option("--exclude-exposed", help="Leave out test cases that pre-training has seen.")
]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="[phase.]key=value, repeatable. Keys: bench show METHOD; finetune.KEY as in recipe.KEY of bench show TASK.",
    ),
]
Phantom = Annotated[bool, typer.Option("--phantom", help="Synthetic volumes in place of real data.")]
Root = Annotated[
    str, typer.Option(help="The dataset's folder or one that holds it; else datasets.toml, $BENCH_DATA, $nnUNet_raw.")
]
Results = Annotated[Path, typer.Option(help="Where results go.")]


RESULTS = Path("results")
RUN_WORDS = (
    "method", "task", "ratio", "settings", "seed", "repeats", "fold", "preset", "protocol",
    "corpus", "corpus_root", "weights", "phantom", "partial", "exclude_exposed", "root",
)  # fmt: skip


def words_of(given: dict[str, Any]) -> dict[str, Any]:
    """Of a command's own arguments those that describe runs, as `specs_of` takes them."""
    return {name: str(given[name]) if name == "ratio" else given[name] for name in RUN_WORDS if name in given}


def specs_of(
    *, method: str, task: str, ratio: str, settings: list[str], seed: int, repeats: int, **words: object
) -> list[RunSpec]:
    """Every combination of methods, tasks, ratios and seeds, in the order typed."""
    from bench.contracts.errors import SpecError
    from bench.spec import make_spec

    for option, typed in (("--method", method), ("--task", task), ("--ratio", ratio)):
        if not _list(typed):
            raise SpecError(f"{option} names nothing, found '{typed}'.", remedy="bench list methods, bench list tasks")
    methods = _list(method)
    return [
        make_spec(
            method=m,
            task=t,
            ratio=float(r),
            settings=tuple(settings),
            seed=seed + k,
            **_without_corpus(m, methods, words),
        )
        for m in methods
        for t in _list(task)
        for r in _numbers(ratio)
        for k in range(repeats)
    ]


def _without_corpus(method: str, methods: list[str], words: dict[str, object]) -> dict[str, object]:
    """The words without a corpus for a network from scratch that stands beside methods which pre-train on it."""
    if not (words.get("corpus") or words.get("corpus_root")):
        return words
    from bench.corpus_words import own_corpus

    trained = [m for m in methods if own_corpus(m.partition("@")[0]) != "none"]
    return words if not trained or method in trained else {**words, "corpus": "", "corpus_root": ""}


def _list(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in _list(words)]
    except ValueError:
        raise typer.BadParameter(f"--ratio takes numbers joined by commas, found '{words}'.") from None
