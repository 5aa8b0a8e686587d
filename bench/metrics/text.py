"""How much a generated report shares with reference reports: corpus-level BLEU from torchmetrics, on named tokenisations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from bench.contracts.errors import DataUnsound, SpecError, nearest

Tokens = Sequence[str]

TOKENISATIONS: Mapping[str, Callable[[str], list[str]]] = {
    "whitespace": str.split,
    "words": lambda text: re.findall(r"\w+|[^\w\s]", text.lower()),
    "characters": lambda text: [character for character in text if not character.isspace()],
}
"""`whitespace` cuts at white space; `words` lowers case and parts words from punctuation; `characters` suits Chinese."""


def tokenise(text: str, tokenisation: str) -> list[str]:
    """Cut a text into the tokens that BLEU counts. BLEU values of two tokenisations cannot be compared: record its name.

    Raises SpecError for a name that is not in TOKENISATIONS.

    Example: ``tokenise("No effusion.", "words") == ["no", "effusion", "."]``.
    """
    if tokenisation not in TOKENISATIONS:
        raise SpecError(
            f"No tokenisation '{tokenisation}'. {nearest(tokenisation, TOKENISATIONS)}"
            f"Possible: {', '.join(TOKENISATIONS)}."
        )
    return TOKENISATIONS[tokenisation](text)


def bleu(predictions: Sequence[Tokens], references: Sequence[Sequence[Tokens]], *, order: int) -> float:
    """BLEU-1 to BLEU-4 of a corpus: the share of n-grams that also stand in a reference, short predictions penalised.

    Papineni et al., ACL 2002, Sec. 2: n-gram counts are summed over the corpus before dividing; the geometric mean of
    the precisions of 1- to `order`-grams; brevity penalty against the reference closest in length; no smoothing, so 0
    when no n-gram of one size matches. `predictions`: one token list per case; `references`: one or more per case.
    Source: torchmetrics' bleu_score.

    Raises SpecError for an order outside 1..4, DataUnsound for an empty corpus, unequal numbers of cases, a case
    without references, a reference without tokens, and a token with white space in it.

    Example: prediction `the cat sat`, reference `the cat ran`: BLEU-1 is 2/3; one of two bigrams matches, so BLEU-2 is
    sqrt(2/3 * 1/2) = 0.577.
    """
    if order not in (1, 2, 3, 4):
        raise SpecError(f"No metric 'bleu-{order}'. Possible: bleu-1, bleu-2, bleu-3, bleu-4.")
    if not len(predictions) or len(predictions) != len(references):
        raise DataUnsound(
            f"BLEU needs references for every prediction, found {len(predictions)} predictions and {len(references)} "
            "lists of references.",
        )
    for case, texts in enumerate(references):
        if isinstance(texts, str) or not len(texts) or not all(len(tokens) for tokens in texts):
            raise DataUnsound(f"Case {case} of {len(references)} has no reference with tokens in it.")
    from torchmetrics.functional.text import bleu_score

    joined = [_joined(tokens) for tokens in predictions]
    return float(bleu_score(joined, [[_joined(tokens) for tokens in texts] for texts in references], n_gram=order))


def _joined(tokens: Tokens) -> str:
    """The tokens as torchmetrics takes them: parted by one space each."""
    if isinstance(tokens, str):
        raise DataUnsound(f"BLEU takes token lists, found the text '{tokens[:40]}'.", remedy="Call tokenise first.")
    for token in tokens:
        if not token or token.split() != [token]:
            raise DataUnsound(f"A token must hold a character and no white space, found {token!r}.")
    return " ".join(tokens)
