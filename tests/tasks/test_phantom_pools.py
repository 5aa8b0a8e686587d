"""`--phantom` makes every pool of the papers stand in for itself; together they offer what the plan asks of phantom pools.

The plan's `phantom-ct`, `phantom-mr4`, `phantom-2d` and `phantom-report` are sets of these pools under the pools'
own keys: CT is mim-1k, MR in four aligned contrasts and lesions by category ar-corpus, pictures and every anisotropy spad-55,
reports ctrg-chest-1.4k and ct-rate-*.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry
from bench.contracts.record import Record
from bench.corpora import cached_corpus, member_records, named_corpus
from bench.data.volumes import read_header, read_image
from bench.phantom_data import write_corpus
from methods.parts.families import SequenceDraw
from tasks.corpora.ar_corpus import LESION_COUNTS


def sets_of(name: str, sizes: dict[str, int], root: Path) -> list[tuple[Path, Record]]:
    """So many phantom volumes of some sets of a pool, each with its folder."""
    found = []
    for member in registry.corpus(name).members:
        if member.key in sizes:
            ids = [f"{member.key}_{n:04d}" for n in range(1, sizes[member.key] + 1)]
            member.files.write_phantom(root / member.folders[0], ids, "smoke")
            folder, records = member_records(member, None, {}, root)
            assert folder is not None and records
            found += [(folder, record) for record in records]
    return found


def test_the_pool_of_many_anisotropies_has_one_set_for_each_degree_and_flat_pictures(tmp_path: Path) -> None:
    degrees = {"ixi": 0, "brainptm": 0, "pi-cai": 2, "mrspineseg": 3, "msd05": 4, "busi": 26, "idrid": 26}
    for folder, record in sets_of("spad-55", dict.fromkeys(degrees, 1), tmp_path):
        header, image = read_header(folder, record), read_image(folder, record).array
        assert header.anisotropy == degrees[record.meta["dataset"]] and image.min() < image.max(), record.case_id
        assert (min(image.shape[1:]) == 1) == (header.anisotropy == 26)


def test_ars_pool_offers_the_three_sources_of_sequences(tmp_path: Path) -> None:
    sets_of("ar-corpus", {"amos22": 1, "brats23-gli": 1, "deeplesion": LESION_COUNTS["smoke"]}, tmp_path)
    pool = cached_corpus(named_corpus("ar-corpus", None, {}, tmp_path, partial=True), tmp_path / "cache")
    offer = SequenceDraw(
        families=("spatial", "contrast", "semantic"), depth=16, slabs=4, crops_per_volume=2, crops_per_group=2,
        sequences_per_category=2,
    ).offer(pool)  # fmt: skip
    assert all(offer.counts().values()), offer.counts()


@pytest.mark.parametrize("name", ["ctrg-chest-1.4k", "ct-rate-1.4k"])
def test_pools_with_reports_have_one_beside_every_volume(name: str, tmp_path: Path) -> None:
    write_corpus(name, "smoke", tmp_path)
    pool = named_corpus(name, None, {}, tmp_path, partial=False)
    assert pool.offers == {"volume", "report"} and pool.source == "phantom" and pool.found >= 4
