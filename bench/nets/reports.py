"""Radiology reports as text: cleaning, and cutting into the fragments that are aligned with a volume. No torch.

Source   MG-3D (arXiv 2412.05876), Sec. III-B ("by punctuation, as short as possible while coherent"), and its released code
"""

from __future__ import annotations

import re

NOTHING = re.compile(r"(?:^|(?<=[.;]))\s*not given\s*(?:\.|$)")
SENTENCE_END = re.compile(r"(?<=\.)\s+")


def clean_report(report: str) -> str:
    """The report in lower case, white space single, without CT-RATE's placeholder "Not given." for an empty section.

    It goes where it stands alone; a sentence that says what was not given stays as it is.

    Example: ``clean_report("Nodule.\\n Not given.") == "nodule."``
    """
    return NOTHING.sub("", " ".join(report.lower().split())).strip()


def fragments(report: str) -> list[str]:
    """A report cut at full stops that white space follows, then at commas and semicolons outside parentheses.

    The delimiter stays at the end of its fragment; what holds no letter or digit is passed over. A parenthesis that never
    closes ends with its sentence.

    Example: ``fragments("Two nodules (3, 4 mm), stable. No effusion")`` is
    ``["two nodules (3, 4 mm),", "stable.", "no effusion"]``.
    """
    sentences = SENTENCE_END.split(clean_report(report))
    found = [clause.strip() for sentence in sentences for clause in _clauses(sentence)]
    return [clause for clause in found if any(character.isalnum() for character in clause)]


def _clauses(sentence: str) -> list[str]:
    cut, depth, begin = [], 0, 0
    for place, character in enumerate(sentence):
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(depth - 1, 0)
        elif character in ",;" and depth == 0:
            cut.append(sentence[begin : place + 1])
            begin = place + 1
    return [*cut, sentence[begin:]]
