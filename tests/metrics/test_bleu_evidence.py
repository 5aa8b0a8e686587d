"""BLEU from what each case leaves behind, set beside the two implementations that papers use, on the same tokens."""

from __future__ import annotations

import contextlib
import io
import math
import random

import pytest

from bench.case_rows import CaseRow
from bench.metrics.pooled import is_pooled, pooled
from bench.metrics.text import ORDERS, bleu, bleu_of, digest_of, ngram_evidence, tokenise

WORDS = (
    *("no", "lung", "nodule", "effusion", "in", "the", "right", "left", "upper", "lobe"),
    *("of", "is", "seen", "small", "pleural", "."),
)


def corpus(seed: int, cases: int = 12) -> tuple[list[list[str]], list[list[str]]]:
    """References and predictions that share most words: some longer, some shorter, some words repeated."""
    draw = random.Random(seed)
    references = [[draw.choice(WORDS) for _ in range(draw.randint(6, 40))] for _ in range(cases)]
    guesses = []
    for reference in references:
        guess = [draw.choice(WORDS) if draw.random() < 0.25 else word for word in reference]
        guesses.append(guess[: draw.randint(5, len(guess))] + [draw.choice(WORDS)] * draw.randint(0, 4))
    return guesses, references


def rows_of(guesses: list[list[str]], references: list[list[str]], class_: str = "reference") -> list[CaseRow]:
    return [
        CaseRow(f"case {i}", class_, name, float(value))
        for i, (guess, reference) in enumerate(zip(guesses, references, strict=True))
        for name, value in ngram_evidence(guess, [reference]).items()
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("order", ORDERS)
def test_pooled_bleu_is_that_of_sacrebleu_without_tokenisation(seed: int, order: int) -> None:
    from sacrebleu.metrics import BLEU

    guesses, references = corpus(seed)
    theirs = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
    score = theirs.corpus_score([" ".join(g) for g in guesses], [[" ".join(r) for r in references]]).score / 100
    assert pooled(f"bleu-{order}", rows_of(guesses, references)).value == pytest.approx(score, abs=1e-6)
    assert bleu(guesses, [[r] for r in references], order=order) == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_pooled_bleu_is_that_of_coco_caption(seed: int) -> None:
    from pycocoevalcap.bleu.bleu import Bleu

    guesses, references = corpus(seed)
    told = {i: [" ".join(g)] for i, g in enumerate(guesses)}
    truth = {i: [" ".join(r)] for i, r in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):
        theirs, _ = Bleu(4).compute_score(truth, told, verbose=0)
    ours = [pooled(f"bleu-{n}", rows_of(guesses, references)).value for n in ORDERS]
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_evidence_is_what_one_counts_by_hand() -> None:
    found = ngram_evidence(["the", "the", "cat"], [["the", "cat", "ran"]])
    assert (found["match-1"], found["ngrams-1"]) == (2, 3) and (found["match-2"], found["ngrams-2"]) == (1, 2)
    assert (found["match-4"], found["ngrams-4"], found["length"], found["reference-length"]) == (0, 0, 3, 3)


def test_the_reference_closest_in_length_counts_and_the_shorter_of_two_equally_close() -> None:
    assert ngram_evidence(["a"] * 5, [["a"] * 3, ["a"] * 7, ["a"] * 9])["reference-length"] == 3
    assert ngram_evidence(["a"] * 6, [["a"] * 3, ["a"] * 7])["reference-length"] == 7


def test_an_ngram_counts_at_most_as_often_as_in_the_one_reference_that_has_it_most() -> None:
    assert ngram_evidence(["a", "a", "a"], [["a"], ["a", "b"]])["match-1"] == 1
    assert ngram_evidence(["a", "a", "a"], [["a"], ["a", "a"]])["match-1"] == 2


def test_a_text_longer_than_its_reference_wins_nothing_by_its_length() -> None:
    assert bleu_of(ngram_evidence(["a", "b", "c", "d"], [["a", "b"]]), order=1) == pytest.approx(2 / 4)
    assert bleu_of(ngram_evidence(["a"], [["a", "b"]]), order=1) == pytest.approx(math.exp(1 - 2 / 1))


def test_a_report_against_itself_is_one_and_nothing_shared_or_nothing_said_is_zero() -> None:
    text = tokenise("No effusion. Lungs are clear.", "report")
    assert bleu_of(ngram_evidence(text, [text]), order=4) == pytest.approx(1)
    assert bleu_of(ngram_evidence(["mass"], [text]), order=1) == 0 == bleu_of(ngram_evidence([], [text]), order=1)


def test_truncating_references_changes_only_what_is_longer() -> None:
    guesses, references = corpus(3)
    at_40 = [r[:40] for r in references]
    assert pooled("bleu-4", rows_of(guesses, references)).value == pooled("bleu-4", rows_of(guesses, at_40)).value
    at_10 = [r[:10] for r in references]
    assert pooled("bleu-4", rows_of(guesses, references)).value != pooled("bleu-4", rows_of(guesses, at_10)).value


def test_two_references_stand_side_by_side_and_the_protocols_own_is_the_headline() -> None:
    guesses, references = corpus(1)
    rows = [*rows_of(guesses, references), *rows_of(guesses, guesses, "decoded")]
    found = pooled("bleu-2", rows)
    assert found.value == found.by_class["reference"] < 1 and found.by_class["decoded"] == pytest.approx(1)
    assert pooled("bleu-2", rows[::-1]).value == found.value  # by its name, not because it comes first
    assert all(is_pooled(f"bleu-{n}") for n in ORDERS)


def test_the_report_tokenisation_is_stated_by_what_it_does() -> None:
    assert tokenise("Nodules (3, 4.5 mm) in the right-upper lobe; stable", "report") == [
        *("nodules", "3", "4.5", "mm", "in", "the", "right", "upper", "lobe", "stable", "."),
    ]
    assert tokenise("No mass.\nHeart: normal...", "report") == ["no", "mass", ".", "heart", "normal", "."]
    assert tokenise(" . ", "report") == []
    assert digest_of("report") == "9241f863013d2ec1" != digest_of("words")
