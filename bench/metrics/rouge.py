"""How much of a reference a generated report tells in the same order: ROUGE-L as caption evaluation counts it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

BETA = 1.2  # coco-caption's weight of recall over precision


def rouge_l(prediction: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of one text: the F-measure of the longest common subsequence of tokens, recall weighing 1.2 squared times.

    P = LCS / tokens of the prediction, R = LCS / tokens of the reference; with several references the best P and the best R,
    each from whichever has it; (1 + 1.44) P R / (R + 1.44 P). 0 where nothing is shared or a text has no token. Of a set of
    texts it is the mean over texts, unlike BLEU.

    Source: Lin, ACL workshop Text Summarization 2004, Sec. 3; beta and the choice among references as in coco-caption
    (pycocoevalcap), to which it is equal on the same tokens.

    Example: prediction `the cat sat`, reference `the black cat ran`: `the cat` is shared, P = 2/3 and R = 1/2, so that it is
    2.44 x 1/3 / (1/2 + 1.44 x 2/3) = 0.557.
    """
    shared = [(common_subsequence(prediction, reference), len(reference)) for reference in references]
    if not prediction or not any(length for length, _ in shared):
        return 0.0
    precision = max(length for length, _ in shared) / len(prediction)
    recall = max(length / told for length, told in shared if told)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest sequence of tokens that stands in both in this order, gaps allowed.

    Bit k of `level` is 0 where a longest subsequence grows by token k of `other`; one addition of whole numbers moves all
    places of a row at once.

    Source: Hyyro, Bit-parallel LCS-length computation revisited, AWOCA 2004.

    Example: `a b c d` and `b d c` share `b c` (or `b d`): 2.
    """
    places: dict[str, int] = defaultdict(int)
    for k, token in enumerate(other):
        places[token] |= 1 << k
    full = (1 << len(other)) - 1
    level = full
    for token in one:
        here = level & places[token]
        level = ((level + here) | (level - here)) & full
    return len(other) - level.bit_count()
