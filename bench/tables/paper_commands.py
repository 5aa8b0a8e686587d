"""What is missing in a paper's table -> the commands that would fill it, or why this version cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench import registry
from bench.contracts.counts import how_many
from bench.tables.paper_cells import Asked


def command(asked: Asked) -> str:
    """The `bench run` that repeats one printed cell, at the paper's size; empty where `lacks` says why there is none."""
    return "" if lacks(asked) else _words([asked.run], [_task(asked)], [asked.ratio], asked.protocol, asked.corpus)


def commands(missing: Iterable[Asked]) -> tuple[str, ...]:
    """As few commands as fill every missing cell and no other: methods, tasks and ratios joined where they form a grid."""
    wanted: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for asked in missing:
        if not lacks(asked):
            ratios = wanted.setdefault((asked.run, asked.protocol, asked.corpus), {}).setdefault(_task(asked), [])
            ratios += [asked.ratio] if asked.ratio not in ratios else []
    grids: dict[tuple[str, str, tuple[str, ...], tuple[float, ...]], list[str]] = {}
    for (run, protocol, corpus), tasks in wanted.items():
        by_ratios: dict[tuple[float, ...], list[str]] = {}
        for task, ratios in tasks.items():
            by_ratios.setdefault(tuple(sorted(ratios)), []).append(task)
        for ratios_, names in by_ratios.items():
            grids.setdefault((protocol, corpus, tuple(names), ratios_), []).append(run)
    return tuple(
        _words(runs, tasks, ratios, protocol, corpus) for (protocol, corpus, tasks, ratios), runs in grids.items()
    )


def lacking(missing: Iterable[Asked]) -> tuple[str, ...]:
    """What this version lacks to fill the missing cells. Example: ``("methods dino, hpm (28 cells)",)``."""
    found: dict[str, Counter[str]] = {}
    for asked in missing:
        if lack := lacks(asked):
            found.setdefault(lack[0], Counter())[lack[1]] += 1
    return tuple(f"{sort} {', '.join(words)} ({how_many(words.total(), 'cell')})" for sort, words in found.items())


def lacks(asked: Asked) -> tuple[str, str] | None:
    """What is not here to make a run, as (sort, name); None where all is. Cards are asked, no data."""
    if asked.method not in registry.names(registry.METHODS):
        return "methods", asked.method
    if asked.variant and asked.variant not in registry.variants(asked.method):
        return "variants", asked.run
    if asked.task not in registry.names(registry.TASKS):
        return "tasks", asked.task
    if asked.corpus and asked.corpus not in registry.names(registry.CORPORA):
        return "corpora", asked.corpus
    protocol = registry.task(asked.task).protocols.get(asked.protocol)
    if protocol is None:
        return "protocols", f"{asked.protocol} of {asked.task}"
    if asked.ratio not in protocol.label_ratios:
        return "ratios", f"{asked.ratio:g} of {asked.task} in protocol {asked.protocol}"
    return None


def _task(asked: Asked) -> str:
    """The task as the command line takes it; a target is named where it is not the protocol's own."""
    card = registry.task(asked.task)
    named = asked.target in card.targets and asked.target != card.protocols[asked.protocol].target
    return f"{asked.task}@{asked.target}" if named else asked.task


def _words(runs: list[str], tasks: Iterable[str], ratios: Iterable[float], protocol: str, corpus: str) -> str:
    shares = ",".join(f"{ratio:g}" for ratio in ratios)
    words = [f"bench run --method {','.join(runs)} --task {','.join(tasks)} --protocol {protocol}"]
    words += [f"--ratio {shares}"] if shares != "1" else []
    words += [f"--corpus {corpus}"] if corpus else []
    return " ".join(words)
