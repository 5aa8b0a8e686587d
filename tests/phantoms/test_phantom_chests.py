"""Chests: every finding shows in the voxels, is said in the report and denied where absent; nothing depends on what came before."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest

from bench.phantoms.body import person
from bench.phantoms.chest import ChestPhantom, make_chest, with_heart
from bench.phantoms.chest_signs import paint_findings
from bench.phantoms.drawing import draw
from bench.phantoms.findings import FINDINGS, OCCURRENCE, Finding, chance_of, findings_of, flags
from bench.phantoms.phrases import ABSENT, PRESENT
from bench.phantoms.scanner import ct, site_of
from bench.phantoms.wording import LONG_WORDS, report_of

SHAPE = (64, 64, 40)


def chest(scan: str, **asked: object) -> ChestPhantom:
    words = {"preset": "smoke", "dataset": "test", "shape": (24, 24, 16), "spacing_mm": (1.0, 1.0, 1.0)}
    return make_chest(scan, **{**words, **asked})  # type: ignore[arg-type]


def finding(name: str) -> Finding:
    return Finding(name=name, side="right", lobe="lower", size_mm=20, count=2, degree=2, hedged=False)


@pytest.mark.parametrize("name", FINDINGS)
def test_every_finding_is_visible_in_the_voxels_of_its_own_side(name: str) -> None:
    someone = replace(person("smoke", "test", "healthy"), lesions=())
    images = []
    for there in ((), (finding(name),)):
        shown = with_heart(someone, there)
        drawing = draw(shown, "chest", SHAPE, signs=lambda canvas, s=shown, f=there: paint_findings(canvas, s, f))
        images.append(ct(drawing, shown, site_of(shown, test_site=False)).astype(int))
    changed = np.abs(images[1] - images[0]) > 60
    assert changed.sum() >= 8
    if name in ("lung-nodule", "consolidation", "pleural-effusion", "bronchiectasis"):
        left, right = changed[: SHAPE[0] // 2].sum(), changed[SHAPE[0] // 2 :].sum()
        assert right > 20 * left


def test_the_answers_are_those_of_ct_rates_table_in_its_order() -> None:
    assert (
        len(FINDINGS) == 18 and FINDINGS[0] == "medical-material" and FINDINGS[-1] == "interlobular-septal-thickening"
    )
    assert flags([finding("cardiomegaly"), finding("lung-nodule")]) == tuple(
        int(name in ("cardiomegaly", "lung-nodule")) for name in FINDINGS
    )
    assert set(PRESENT) == set(ABSENT) == set(FINDINGS) and all(len(ways) >= 4 for ways in PRESENT.values())


def test_findings_occur_as_often_as_they_should_and_more_often_with_age() -> None:
    people = [person("smoke", "test", str(number)) for number in range(400)]
    answers = np.array([flags(findings_of(someone)) for someone in people])
    expected = np.array([np.mean([chance_of(name, p.age_years) for p in people]) for name in FINDINGS])
    assert np.abs(answers.mean(0) - expected).max() < 4 * np.sqrt(0.25 / len(people))
    assert chance_of("emphysema", 85) - chance_of("emphysema", 25) == pytest.approx(OCCURRENCE["emphysema"][1])


def test_what_is_there_is_said_once_and_what_is_not_is_at_most_denied() -> None:
    for number in range(60):
        someone = person("smoke", "test", str(number))
        there = findings_of(someone)
        text = report_of(someone, there).findings
        names = {f.name for f in there}
        for name in FINDINGS:
            said = sum(_fits(text, way) for way in PRESENT[name])
            denied = sum(way in text for way in ABSENT[name])
            assert (said >= 1 and denied == 0) if name in names else said == 0, (name, text)


def _fits(text: str, way: str) -> bool:
    """Whether a sentence of this form stands in the text, whatever fills its slots."""
    pattern = re.sub(r"\\\{\w+\\\}", "[^.]*", re.escape(way))
    return re.search(f"(?i)(?:^|[.:] ){pattern}", text) is not None


def test_a_report_in_twenty_at_least_is_longer_than_a_generator_may_write() -> None:
    words = [len(chest_words(number)) for number in range(400)]
    assert 0.05 <= np.mean([count > 150 for count in words]) <= 0.2
    assert max(words) >= LONG_WORDS and 100 <= np.mean(words) <= 130


def chest_words(number: int) -> list[str]:
    someone = person("smoke", "test", str(number))
    return report_of(someone, findings_of(someone)).findings.split()


def test_one_scans_reconstructions_share_person_and_report_and_differ_in_their_voxels() -> None:
    one, two = chest("7_a"), chest("7_a", reconstruction=2)
    assert (one.report, one.findings, one.answers) == (two.report, two.findings, two.answers)
    assert not np.array_equal(one.image, two.image)
    assert np.corrcoef(one.image.ravel(), two.image.ravel())[0, 1] > 0.97


def test_a_chest_depends_on_its_name_alone() -> None:
    first = chest("12")
    chest("13")
    again = chest("12")
    assert np.array_equal(first.image, again.image) and first.report == again.report


def test_a_chest_is_the_same_on_every_machine() -> None:
    """The same voxels and words on every machine; a change of the generator must raise its version."""
    told = chest("golden")
    digest = hashlib.sha256(f"{told.report}{told.answers}".encode()).hexdigest()[:16]
    assert digest == "39250e7e56008cb2"
    assert (float(told.image.mean()), float(told.image.std())) == pytest.approx((-480.2, 378.2), abs=0.5)
