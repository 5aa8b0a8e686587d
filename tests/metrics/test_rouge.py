"""ROUGE-L by hand, beside coco-caption on the same tokens, and its subsequence beside the textbook's table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.case_rows import CaseRow
from bench.metrics.pooled import is_pooled, pooled
from bench.metrics.rouge import common_subsequence, rouge_l
from bench.metrics.text import tokenise
from tests.metrics.test_bleu_evidence import corpus

TOKENS = st.lists(st.sampled_from("abcde"), max_size=24)


def plain(one: list[str], other: list[str]) -> int:
    """The table of all prefixes."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, token in enumerate(one, start=1):
        for k, counterpart in enumerate(other, start=1):
            table[i][k] = table[i - 1][k - 1] + 1 if token == counterpart else max(table[i - 1][k], table[i][k - 1])
    return table[-1][-1]


def test_the_docstrings_examples_hold() -> None:
    assert rouge_l(["the", "cat", "sat"], [["the", "black", "cat", "ran"]]) == pytest.approx(
        2.44 / 3 / (0.5 + 1.44 * 2 / 3)
    )
    assert rouge_l(["the", "cat", "sat"], [["the", "black", "cat", "ran"]]) == pytest.approx(0.557, abs=5e-4)
    assert common_subsequence(["a", "b", "c", "d"], ["b", "d", "c"]) == 2


@given(TOKENS, TOKENS)
def test_the_subsequence_is_that_of_the_textbooks_table(one: list[str], other: list[str]) -> None:
    assert common_subsequence(one, other) == plain(one, other) == common_subsequence(other, one)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_coco_caption(seed: int) -> None:
    from pycocoevalcap.rouge.rouge import Rouge

    guesses, references = corpus(seed)
    _, others = corpus(seed + 100)
    told = {i: [" ".join(guess)] for i, guess in enumerate(guesses)}
    for several in (False, True):
        truth = [[r, o] if several else [r] for r, o in zip(references, others, strict=True)]
        mean, each = Rouge().compute_score({i: [" ".join(r) for r in texts] for i, texts in enumerate(truth)}, told)
        ours = [rouge_l(guess, texts) for guess, texts in zip(guesses, truth, strict=True)]
        assert ours == pytest.approx(each.tolist(), abs=1e-6) and sum(ours) / len(ours) == pytest.approx(mean, abs=1e-6)


def test_reports_cut_into_our_tokens_have_coco_captions_score() -> None:
    from pycocoevalcap.rouge.rouge import Rouge

    guess = tokenise("Small nodule in the right upper lobe. No pleural effusion.", "report")
    truth = tokenise("No effusion. A 3.5 mm nodule is seen in the right lobe; heart size normal.", "report")
    theirs = Rouge().calc_score([" ".join(guess)], [" ".join(truth)])
    assert rouge_l(guess, [truth]) == pytest.approx(theirs, abs=1e-6) and 0.2 < theirs < 0.9


@given(TOKENS.filter(bool))
def test_a_text_is_wholly_like_itself_and_not_at_all_like_strange_words(tokens: list[str]) -> None:
    assert rouge_l(tokens, [tokens]) == pytest.approx(1.0)
    assert rouge_l(tokens, [["x"] * 5]) == rouge_l([], [tokens]) == rouge_l(tokens, [[]]) == 0.0


@given(TOKENS, TOKENS)
def test_it_lies_between_0_and_1_and_a_second_reference_never_lowers_it(one: list[str], other: list[str]) -> None:
    alone = rouge_l(one, [other])
    assert 0.0 <= alone <= 1.0 + 1e-12 and rouge_l(one, [other, ["x"]]) >= alone - 1e-12


def test_of_a_set_it_is_the_mean_over_cases_by_reference() -> None:
    rows = [
        CaseRow(case, name, "rouge-l", value)
        for name, values in (("reference", (0.5, 0.25)), ("decoded", (1.0, 0.5)))
        for case, value in zip("ab", values, strict=True)
    ]
    found = pooled("rouge-l", rows)
    assert pooled("rouge-l", rows[::-1]).value == found.value
    assert (
        is_pooled("rouge-l") and found.value == 0.375 and dict(found.by_class) == {"reference": 0.375, "decoded": 0.75}
    )
