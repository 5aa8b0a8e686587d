"""What a newcomer reads: every command, option, name, target, path and link that the documents write is there."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from bench import registry
from bench.cli import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        ROOT / "results/README.md",
        ROOT / "bench/published/README.md",
        *ROOT.glob("notebooks/*.ipynb"),
    ]
)
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
SHELVES = {"--method": registry.METHODS, "--task": registry.TASKS, "--corpus": registry.CORPORA}
CORPUS_WORDS = {"own", "none", "folder"}
WRITTEN = "denoise3d"  # the method that a reader of notebook 7 writes
TOP = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}


def prose(path: Path) -> str:
    """A document's Markdown; of a notebook that of its cells of text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")


def snippets(path: Path) -> Iterator[str]:
    """Lines of indented blocks without their comments, and words between backticks."""
    for line in prose(path).splitlines():
        if line.startswith("    "):
            yield line.partition("  #")[0].partition(" # ")[0].strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def commands(path: Path) -> list[list[str]]:
    """Command lines of ours as words, without the first; a lone `bench` or `bench-*` is none."""
    return [shlex.split(text)[1:] for text in snippets(path) if text.startswith("bench ")]


def options_of(words: list[str]) -> set[str]:
    """The options of the command that some words call. KeyError where there is no such command."""
    found = typer.main.get_command(app)
    for word in words:
        if not isinstance(found, typer.core.TyperGroup):
            break
        found = found.commands[word]
    return {name for parameter in found.params for name in parameter.opts} | {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_command_and_option_that_a_document_writes_is_there(path: Path) -> None:
    for words in commands(path):
        possible = options_of([word for word in words if not word.startswith("--")])
        typed = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert typed <= possible, f"bench {' '.join(words)}: no {sorted(typed - possible)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_method_task_and_corpus_of_a_command_is_there(path: Path) -> None:
    for words in commands(path):
        for option, value in itertools.pairwise(words):
            for name in value.split(",") if option in SHELVES else ():
                key, _, variant = name.partition("@")
                if key.isupper() or key == WRITTEN or (option == "--corpus" and key in CORPUS_WORDS):
                    continue
                assert key in registry.names(SHELVES[option]), f"{option} {name}"
                if option == "--method" and variant:
                    assert variant in registry.variants(key), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_make_target_is_there(path: Path) -> None:
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for text in snippets(path):
        for target in re.findall(r"\bmake ([a-z][a-z-]+)(?![a-z*-])", text):
            assert target in there, f"make {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(path)):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        there = path.parent / file if file else path
        assert there.is_file(), target
        assert not heading or heading in headings(there), target


def headings(path: Path) -> set[str]:
    """A document's headings as links write them."""
    found = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_path_of_the_repository_is_there(path: Path) -> None:
    for text in snippets(path):
        for word in re.findall(r"(?<![\w/.$-])[\w.]+(?:/[\w.-]+)+/?", text):
            if word.partition("/")[0] in TOP and not re.search(r"[A-Z]{2,}(?!\w*\.md)", word) and "runs" not in word:
                assert (ROOT / word).exists() or word.startswith("results/cache"), word
