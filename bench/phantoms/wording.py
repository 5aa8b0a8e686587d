"""A report put into words: the findings of one person said in one of several ways, what is absent denied, the order shuffled.

One report in twenty is longer than 150 words, one in ten compares with an earlier scan, one in five holds a rare remark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.phantoms.body import Person
from bench.phantoms.findings import DEGREES, FINDINGS, Finding
from bench.phantoms.phrases import ABSENT, COMPARED, HEDGES, NORMAL, NOTHING, PRESENT, RARE, SUMMARY

NUMBERS = ("", "one", "two", "three")
DENIED_RATIO, NORMAL_SENTENCES = 0.45, 3
COMPARED_RATIO, RARE_RATIO, LONG_RATIO = 0.1, 0.2, 0.05
LONG_WORDS = 170
NOT_TOLD_RATIO = 0.1


@dataclass(frozen=True)
class Report:
    """The two sections of a report; `impression` is empty where none was given."""

    findings: str
    impression: str


def report_of(person: Person, findings: Sequence[Finding]) -> Report:
    """The report of a person with these findings; the same person always gets the same words."""
    random = person.stream("report")
    there = {finding.name: finding for finding in findings}
    sentences = [_said(finding, random) for finding in findings]
    sentences += [
        _one_of(ABSENT[name], random) for name in FINDINGS if name not in there and random.random() < DENIED_RATIO
    ]
    sentences += [str(s) for s in random.permutation(NORMAL)[:NORMAL_SENTENCES]]
    if random.random() < RARE_RATIO:
        sentences.append(_one_of(RARE, random))
    sentences = [str(sentence) for sentence in random.permutation(sentences)]
    if random.random() < COMPARED_RATIO:
        sentences.append(_one_of(COMPARED, random))
    if random.random() < LONG_RATIO:
        sentences = _lengthened(sentences, random)
    return Report(" ".join(sentences), _impression(findings, random))


def spoken(name: str) -> str:
    """A finding's key as words: `lung-nodule` is "lung nodule"."""
    return name.replace("-", " ")


def _said(finding: Finding, random: np.random.Generator) -> str:
    single = finding.count == 1
    words = {
        "where": f"{finding.side} {finding.lobe} lobe",
        "lungs": "both lungs" if finding.side == "both" else f"the {finding.side} lung",
        "side": "bilateral" if finding.side == "both" else finding.side,
        "flank": "on both sides" if finding.side == "both" else f"on the {finding.side}",
        "size": str(finding.size_mm),
        "count": NUMBERS[finding.count],
        "s": "" if single else "s",
        "are": "is" if single else "are",
        "degree": DEGREES[finding.degree],
    }
    sentence = _capital(_one_of(PRESENT[finding.name], random).format(**words))
    return _one_of(HEDGES, random).format(sentence=sentence) if finding.hedged else sentence


def _impression(findings: Sequence[Finding], random: np.random.Generator) -> str:
    if random.random() < NOT_TOLD_RATIO:
        return ""
    if not findings:
        return _one_of(NOTHING, random)
    told = [spoken(finding.name) for finding in findings][:4]
    return _capital(_one_of(SUMMARY, random).format(names=", ".join(told)))


def _lengthened(sentences: list[str], random: np.random.Generator) -> list[str]:
    """More sentences on normal anatomy, as long-winded readers add them, until the report is past the limit."""
    more = [str(s) for s in random.permutation((*NORMAL, *RARE))]
    while len(" ".join(sentences).split()) < LONG_WORDS:
        sentences = [*sentences, more.pop(0)]
        more = more or list(NORMAL)
    return sentences


def _one_of(choices: Sequence[str], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
