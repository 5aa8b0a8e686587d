"""How much a generated report shares with reference reports: corpus-level BLEU from torchmetrics, on named tokenisations."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bench.contracts.counts import how_many
from bench.contracts.errors import DataUnsound, SpecError, nearest

Tokens = Sequence[str]

TOKENISATIONS: Mapping[str, Callable[[str], list[str]]] = {
    "whitespace": str.split,
    "words": lambda text: re.findall(r"\w+|[^\w\s]", text.lower()),
    "characters": lambda text: [character for character in text if not character.isspace()],
    "report": lambda text: _report_words(text),
}
"""`whitespace` cuts at white space; `words` lowers case and parts words from punctuation; `characters` suits Chinese; `report`
is how report generators are trained and scored: lower case, punctuation as white space, each sentence closed by a full stop."""

ORDERS = (1, 2, 3, 4)
LENGTH, REFERENCE_LENGTH = "length", "reference-length"
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n")
_PUNCTUATION = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.]|_")  # a point between digits stays: 3.5 mm
_PROBES = (
    "No pleural effusion. Heart size: normal.",
    "Nodules (3, 4.5 mm) in the right-upper lobe; stable",
    "Not given.\nGround-glass  opacity, left lower lobe / lingula.",
    "心影不大。 25% ...",
)


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


def digest_of(tokenisation: str) -> str:
    """What a tokenisation does, as the first half of a sha256 over its tokens of fixed texts: a record names both.

    Example: ``digest_of("report") == "9241f863013d2ec1"``.
    """
    told = json.dumps([tokenise(text, tokenisation) for text in _PROBES], ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def ngram_evidence(prediction: Tokens, references: Sequence[Tokens]) -> dict[str, int]:
    """What one case contributes to a corpus' BLEU: its n-grams, those that also stand in a reference, and both lengths.

    `match-n`: n-grams of the prediction found in a reference, each at most as often as in the reference that has it most;
    `ngrams-n`: all n-grams of the prediction; `length`: its tokens; `reference-length`: tokens of the reference closest in
    length, the shorter of two equally close. Papineni et al., ACL 2002, Sec. 2.

    Example: `the the cat` against `the cat ran` has match-1 2 of ngrams-1 3 and match-2 1 of ngrams-2 2.
    """
    found: dict[str, int] = {}
    for n in ORDERS:
        own = _ngrams(prediction, n)
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= _ngrams(reference, n)
        found[f"match-{n}"] = (own & most).total()
        found[f"ngrams-{n}"] = own.total()
    found[LENGTH] = len(prediction)
    found[REFERENCE_LENGTH] = min((abs(len(r) - len(prediction)), len(r)) for r in references)[1]
    return found


def bleu_of(evidence: Mapping[str, float], *, order: int) -> float:
    """BLEU-1 to BLEU-4 from evidence added up over all cases; 0 where no n-gram of one size matches; NaN without a case.

    Geometric mean of the precisions of 1- to `order`-grams times exp(1 - reference length / length) where the predictions are
    the shorter (Papineni et al., Sec. 2.3), no smoothing.
    """
    if not evidence:
        return math.nan
    precisions = [(evidence[f"match-{n}"], evidence[f"ngrams-{n}"]) for n in ORDERS[:order]]
    if not all(match for match, _ in precisions):
        return 0.0
    mean = math.fsum(math.log(match / total) for match, total in precisions) / order
    brevity = min(0.0, 1.0 - evidence[REFERENCE_LENGTH] / evidence[LENGTH])
    return math.exp(mean + brevity)


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
            f"BLEU needs references for every prediction, found {how_many(len(predictions), 'prediction')} "
            f"and {how_many(len(references), 'list')} of references.",
        )
    for case, texts in enumerate(references):
        if isinstance(texts, str) or not len(texts) or not all(len(tokens) for tokens in texts):
            raise DataUnsound(f"Case {case} of {len(references)} has no reference with tokens in it.")
    from torchmetrics.functional.text import bleu_score

    joined = [_joined(tokens) for tokens in predictions]
    return float(bleu_score(joined, [[_joined(tokens) for tokens in texts] for texts in references], n_gram=order))


def _report_words(text: str) -> list[str]:
    sentences = (_PUNCTUATION.sub(" ", sentence).split() for sentence in _SENTENCE_END.split(text.lower()))
    return [word for sentence in sentences if sentence for word in (*sentence, ".")]


def _ngrams(tokens: Tokens, n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))


def _joined(tokens: Tokens) -> str:
    """The tokens as torchmetrics takes them: parted by one space each."""
    if isinstance(tokens, str):
        raise DataUnsound(f"BLEU takes token lists, found the text '{tokens[:40]}'.", remedy="Call tokenise first.")
    for token in tokens:
        if not token or token.split() != [token]:
            raise DataUnsound(f"A token must hold a character and no white space, found {token!r}.")
    return " ".join(tokens)
