"""What a run's pre-training has seen of its test cases, and the test of a task's own parts against each other by voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.contracts.errors import DataUnsound
from bench.corpora import CorpusCases
from bench.data.cache import CachedCases
from bench.data.exposure import UNKNOWN_FILE, UNKNOWN_OLD, Exposure, exposure_of, read_seen

NOTHING_SEEN = Exposure({}, "nothing is pre-trained")


def exposure_at(
    corpus: CorpusCases | None, word: str, folder: Path | None, task: str, cases: CachedCases, tests: Mapping[str, str]
) -> Exposure:
    """The exposure of a task's test cases to the pre-training whose list of seen volumes lies in `folder`.

    `word` is the corpus as the run names it (`none`, `file`, a key); `tests` maps every test case to the scan in which it lies
    ('' where it is a scan itself).
    """
    if word == "file":
        return Exposure({}, UNKNOWN_FILE)
    if corpus is None or folder is None:
        return NOTHING_SEEN
    seen = read_seen(folder)
    if seen is None:
        return Exposure({}, UNKNOWN_OLD)
    return exposure_of(
        {case: cases.fingerprint(case) for case in tests},
        seen,
        shared_names=corpus.named_as.get(task, ()),
        scans=tests,
        declared=corpus.exposes.get(task, ""),
    )


def check_twins(cases: CachedCases, training: Sequence[str], tests: Sequence[str], task: str) -> None:
    """Raise DataUnsound where a case to learn from and a case to be tested on hold the same voxels under two names."""
    learnt = {cases.fingerprint(case): case for case in training}
    for case in tests:
        twin = learnt.get(cases.fingerprint(case))
        if twin is not None and twin != case:
            raise DataUnsound(
                f"its image is that of '{twin}', which the run learns from: one volume would stand on both sides.",
                case=case,
                remedy=f"Fetch both again; bench data check {task} names every such pair.",
            )
