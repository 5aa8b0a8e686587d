"""Which corpus the words of a run mean, and whether it offers what the method pre-trains on. Looks at cards, at no data."""

from __future__ import annotations

from collections.abc import Collection

from bench import registry
from bench.contracts.errors import SpecError
from bench.spec import RunSpec


def own_corpus(method: str) -> str:
    """The corpus that a method's card names; `none` where it does not pre-train."""
    card = next((c for c in registry.describe(registry.METHODS) if c["name"] == method), {})
    # a card from elsewhere is not read as text
    return registry.method(method).corpus if "origin" in card else str(card.get("corpus", "none"))


def corpus_word(spec: RunSpec) -> str:
    """The corpus a run uses: asked for, else the method's own; `none` without pre-training, `file` with --weights."""
    if spec.weights:
        return "file"
    own = own_corpus(spec.method)
    asked = spec.corpus or ("folder" if spec.corpus_root else "")
    if own == "none" and asked not in ("", "none"):
        raise SpecError(
            f"The method '{spec.method}' does not pre-train, so it takes no corpus, found '{asked}'.",
            case=spec.method,
            remedy="Leave --corpus and --corpus-root out.",
        )
    if spec.corpus_root and asked in ("own", "none"):
        raise SpecError(
            f"--corpus {asked} lies nowhere of its own, so it takes no --corpus-root, found '{spec.corpus_root}'.",
            case=spec.method,
            remedy="Leave --corpus-root out, or say --corpus folder.",
        )
    return asked or own


def demand_offered(method: str, word: str, offers: Collection[str]) -> None:
    """Raise SpecError where a corpus has not got what the method pre-trains on (a report beside every volume)."""
    card = next((c for c in registry.describe(registry.METHODS) if c["name"] == method), {})
    needs = set(registry.method(method).needs if "origin" in card else card.get("needs", ()))
    lacking = sorted(needs - set(offers))
    if not lacking:
        return
    told = registry.describe(registry.CORPORA)
    fitting = [c["name"] for c in told if needs <= set(c.get("offers", ("volume",)))]
    corpora = f"Take --corpus {' or '.join(fitting)}, or" if fitting else "Take"
    raise SpecError(
        f"The method '{method}' pre-trains on {' and '.join(sorted(needs, reverse=True))} of every case; the corpus "
        f"'{word}' offers no {' and no '.join(lacking)}.",
        case=method,
        remedy=f"{corpora} --weights FILE for a trained encoder.",
    )
