"""BLEU by hand and against a plain restatement of the paper; tokenisations; what is refused."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from bench.contracts.errors import DataUnsound, SpecError
from bench.metrics.text import bleu, tokenise


def plain_bleu(predictions: list[list[str]], references: list[list[list[str]]], order: int) -> float:
    """Papineni et al. 2002, Sec. 2.1 to 2.3."""
    logs = []
    for n in range(1, order + 1):
        matched = total = 0
        for tokens, texts in zip(predictions, references, strict=True):
            grams = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
            most: Counter[tuple[str, ...]] = Counter()
            for text in texts:
                most |= Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
            matched += sum((grams & most).values())
            total += sum(grams.values())
        if not matched:
            return 0.0
        logs.append(math.log(matched / total))
    ours = sum(map(len, predictions))
    theirs = sum(
        min((abs(len(text) - len(tokens)), n, len(text)) for n, text in enumerate(texts))[2]
        for tokens, texts in zip(predictions, references, strict=True)
    )
    penalty = 1.0 if ours > theirs else math.exp(1 - theirs / ours)
    return penalty * math.exp(sum(logs) / order)


def test_two_of_three_words_right_have_bleu_one_of_two_thirds() -> None:
    predictions, references = [["the", "cat", "sat"]], [[["the", "cat", "ran"]]]
    assert bleu(predictions, references, order=1) == pytest.approx(2 / 3)
    assert bleu(predictions, references, order=2) == pytest.approx(math.sqrt(2 / 3 / 2))
    assert bleu(predictions, references, order=3) == 0.0


def test_repeating_a_right_word_is_clipped_and_a_short_text_penalised() -> None:
    assert bleu([["the", "the"]], [[["the", "cat"]]], order=1) == pytest.approx(0.5)
    assert bleu([["the"]], [[["the", "cat"]]], order=1) == pytest.approx(math.exp(-1))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_of_a_corpus_equals_the_papers_formula(order: int) -> None:
    rng = np.random.default_rng(order)
    words = np.array(["no", "effusion", "nodule", "left", "lobe", "."])

    def text() -> list[str]:
        return words[rng.integers(0, 6, int(rng.integers(3, 30)))].tolist()

    predictions = [text() for _ in range(20)]
    references = [[text() for _ in range(int(rng.integers(1, 3)))] for _ in range(20)]
    assert bleu(predictions, references, order=order) == pytest.approx(
        plain_bleu(predictions, references, order), abs=1e-6
    )


def test_an_empty_prediction_counts_as_nothing_said() -> None:
    assert bleu([[], ["a", "b"]], [[["a"]], [["a", "b"]]], order=1) == pytest.approx(math.exp(1 - 3 / 2))


def test_tokenisations_differ_and_are_named() -> None:
    assert tokenise("No effusion.", "whitespace") == ["No", "effusion."]
    assert tokenise("No effusion.", "words") == ["no", "effusion", "."]
    assert tokenise("无 积液", "characters") == ["无", "积", "液"]
    with pytest.raises(SpecError, match=r"No tokenisation 'word'\. Did you mean 'words'\?"):
        tokenise("", "word")


def test_corpora_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(SpecError, match="bleu-5"):
        bleu([["a"]], [[["a"]]], order=5)
    with pytest.raises(DataUnsound, match="0 predictions"):
        bleu([], [], order=1)
    with pytest.raises(DataUnsound, match="1 prediction and 2"):
        bleu([["a"]], [[["a"]], [["a"]]], order=1)
    with pytest.raises(DataUnsound, match="no reference with tokens"):
        bleu([["a"]], [[[]]], order=1)
    with pytest.raises(DataUnsound, match="no white space, found 'a b'"):
        bleu([["a b"]], [[["a"]]], order=1)
    with pytest.raises(DataUnsound, match="found the text 'a b'"):
        bleu(["a b"], [[["a"]]], order=1)
