"""AR's pool: the three families are there on phantoms, BraTS 2023's contrasts find each other, DeepLesion's lesions their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.case_content import content_hash
from bench.contracts.errors import DataMissing, DataUnsound
from bench.contracts.record import ImageFile, Record
from bench.corpora import cached_corpus, named_corpus
from bench.data.cache import CachedCases
from bench.data.hu_slices import encode_png, name_of
from bench.data.volumes import read_header, read_image
from bench.phantom_data import write_corpus
from methods.ar import AR, METHOD
from methods.parts.slabs import span_around
from tasks.corpora.ar_corpus import CORPUS, LESIONS
from tasks.layouts.deeplesion import COLUMNS, PHANTOM_VIEWS, DeepLesion


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> CachedCases:
    root = tmp_path_factory.mktemp("pool")
    write_corpus("ar-corpus", "smoke", root / "phantoms")
    corpus = named_corpus("ar-corpus", None, {}, root / "phantoms", partial=False)
    return cached_corpus(corpus, root / "cache")


def test_the_card_counts_what_the_paper_prints() -> None:
    by_kind = {"brats23": 0, "deeplesion": 0, "volumes": 0}
    for member in CORPUS.members:
        kind = next((kind for kind in by_kind if member.key.startswith(kind)), "volumes")
        by_kind[kind] += member.printed
    assert by_kind["brats23"] == 4 * 2_995 and by_kind["deeplesion"] == 9_816
    assert CORPUS.printed == 23_287 + 4 * 2_995 + 9_816
    assert len([m for m in CORPUS.members if not m.key.startswith(("brats23", "deeplesion"))]) == 12


def test_phantoms_offer_all_three_families_and_lack_nothing(pool: CachedCases) -> None:
    method = AR(METHOD.tiny, pool.sight)
    method.fit(pool)
    counts = method.draw.offer(pool).counts()
    assert method.told == () and all(counts.values())
    assert len(method.draw.offer(pool).groups) == 5 and sorted(method.draw.offer(pool).lesions) == [2, 4, 5]


def test_a_batch_of_every_family_comes_out_of_the_views(pool: CachedCases) -> None:
    method = AR(METHOD.tiny, pool.sight)
    offer, views = method.draw.offer(pool), method.phases[0].views
    spatial, contrast, _ = offer.counts().values()
    for entry in (0, spatial, spatial + contrast):
        found = views(pool, offer.sample(entry), np.random.default_rng(0))["volume"]
        assert found.shape == (1, 32, 32, 32) and found.min() == 0.0 and found.max() == 1.0


def test_sets_that_overlap_with_tasks_are_left_out_by_the_variant(pool: CachedCases) -> None:
    method = AR(METHOD.tiny, pool.sight)
    clean = AR(METHOD.tiny.__class__(**{**vars(METHOD.tiny), **METHOD.variants["no_downstream_overlap"]}), pool.sight)
    whole, left = method.draw.offer(pool), clean.draw.offer(pool)
    names = {str(pool.fields(case)["dataset"]) for case in left.volumes}
    assert len(left.volumes) < len(whole.volumes) and len(left.groups) == 4  # without the glioma part
    assert names == {"totalsegmentator", "verse", "isles22", "rsna-2020-ped", "rsna-2022-csfd"}


def test_the_contrasts_of_an_examination_show_one_head(pool: CachedCases) -> None:
    method = AR(METHOD.tiny, pool.sight)
    for group in method.draw.offer(pool).groups:
        assert [str(pool.fields(case)["contrast"]) for case in group] == ["t1n", "t1c", "t2w", "t2f"]
        assert len({pool.shape(case) for case in group}) == 1
        images = [pool.read(case, (0, 0, 0), pool.shape(case)) for case in group]
        outside = [image == image.min() for image in images]
        assert all(np.mean(mask == outside[0]) > 0.99 for mask in outside[1:])  # one skull, four contrasts
        assert not np.array_equal(images[0], images[1])


# DeepLesion -----------------------------------------------------------------------------------------


@pytest.fixture
def lesions(tmp_path: Path) -> Path:
    DeepLesion(look=LESIONS).write_phantom(tmp_path / "DeepLesion", ["a", "b", "c"], "smoke")
    return tmp_path / "DeepLesion"


def test_a_lesions_centre_lies_in_the_lesion_after_reading(lesions: Path) -> None:
    """The window is cut in RAS order from a box that the table gives in the picture's."""
    for number, record in enumerate(DeepLesion(look=LESIONS).records(lesions)):
        organ = list(PHANTOM_VIEWS)[number]
        look = LESIONS.__class__(**{**vars(LESIONS), "view": PHANTOM_VIEWS[organ]})
        ((_, phantom),) = look.draw([record.images[0].path.partition("/")[2]], "smoke")
        volume = read_image(lesions, record)
        assert np.array_equal(volume.array[0], phantom.image) and volume.array.dtype == np.int16
        assert volume.spacing_mm == LESIONS.spacing_mm and read_header(lesions, record).orientation == "LPI"
        tumor = phantom.label == {"liver": 2, "lung": 1, "abdomen": 2}[organ]
        (i, rows), (j, columns) = (
            span_around(c, n, 8) for c, n in zip(record.meta["lesion_centre"], tumor.shape, strict=False)
        )
        assert tumor[i : i + rows, j : j + columns].any()


def table(folder: Path, *rows: tuple[str, str, int, str]) -> None:
    """A table of (file, box, type, slice range) whose pictures of 8 x 6 pixels lie in one series."""
    lines = [",".join(COLUMNS)]
    for file, box, kind, span in rows:
        cells = dict.fromkeys(COLUMNS, "0") | {
            "File_name": file,
            "Bounding_boxes": f'"{box}"',
            "Coarse_lesion_type": str(kind),
            "Slice_range": f'"{span}"',
            "Spacing_mm_px_": '"0.5, 0.5, 5"',
            "Image_size": '"8, 6"',
        }
        lines.append(",".join(cells[name] for name in COLUMNS))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "DL_info.csv").write_text("\n".join(lines) + "\n")
    series = folder / "Images_png" / "000007_02_01"
    series.mkdir(parents=True, exist_ok=True)
    for number in range(3, 7):
        picture = np.arange(48, dtype=np.int16).reshape(8, 6) + 100 * number - 1000
        (series / name_of(number)).write_bytes(encode_png(picture))


def test_lesions_without_a_type_are_left_out_and_two_on_one_slice_keep_their_own_names(tmp_path: Path) -> None:
    table(
        tmp_path,
        ("000007_02_01_004.png", "1.0, 2.0, 3.0, 4.0", 5, "3, 6"),
        ("000007_02_01_004.png", "5.0, 1.0, 7.0, 2.0", 8, "3, 6"),
        ("000007_02_01_005.png", "5.0, 1.0, 7.0, 2.0", -1, "3, 6"),
        ("000009_01_01_005.png", "5.0, 1.0, 7.0, 2.0", 4, "3, 6"),  # not downloaded
    )
    first, second = DeepLesion(look=LESIONS).records(tmp_path)
    assert (first.case_id, second.case_id) == ("000007_02_01_004", "000007_02_01_004-2")
    assert first.meta == {"category": 5, "lesion_centre": [8 - 1 - 2.0, 6 - 1 - 3.0]} and second.meta["category"] == 8
    assert first.patient_id == first.group == "000007" and first.source == "real"
    volume = read_image(tmp_path, first)
    assert volume.array.shape == (1, 8, 6, 4) and volume.spacing_mm == (0.5, 0.5, 5.0)
    assert volume.array[0, -1, -1].tolist() == [-400, -500, -600, -700]  # the first pixel, from the feet to the head


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("1, 2, 3, 4", "1, 2, nan, 4"),
        ("1, 2, 3, 4", "1, 2, 3"),
        ("1, 2, 3, 4", "1, 12, 3, 14"),
        ("3, 6", "3, x"),
        ("0.5, 0.5, 5", "0.5, 5"),
    ],
)
def test_a_row_that_holds_no_numbers_or_no_place_in_the_picture_is_refused_by_its_line(
    tmp_path: Path, good: str, bad: str
) -> None:
    table(
        tmp_path, ("000007_02_01_003.png", "1, 2, 7, 4", 5, "3, 5"), ("000007_02_01_004.png", "1, 2, 3, 4", 5, "3, 6")
    )
    path = tmp_path / "DL_info.csv"
    head, first, second = path.read_text().splitlines()
    path.write_text("\n".join([head, first, second.replace(good, bad)]) + "\n")
    with pytest.raises(DataUnsound, match=r"^000007_02_01_004: line 3 of DL_info\.csv holds what is no number"):
        DeepLesion(look=LESIONS).records(tmp_path)


def test_what_the_table_says_of_a_lesion_decides_which_corpus_it_is(tmp_path: Path) -> None:
    """No picture changes with the table, and an encoder of the uncorrected one would be taken for one of the corrected."""
    found = set()
    for box, kind in (("1, 2, 3, 4", 5), ("1, 2, 5, 4", 5), ("1, 2, 3, 4", 8)):
        table(tmp_path, ("000007_02_01_004.png", box, kind, "3, 6"))
        found.add(content_hash(tmp_path, DeepLesion(look=LESIONS).records(tmp_path)))
    assert len(found) == 3


def test_a_damaged_table_or_series_is_named(tmp_path: Path) -> None:
    table(tmp_path, ("000007_02_01_004.png", "1, 2, 3, 4", 5, "2, 6"))
    (record,) = DeepLesion(look=LESIONS).records(tmp_path)
    with pytest.raises(DataUnsound, match=r"lacks slice '002\.png' of 2-6"):
        read_image(tmp_path, record)
    (tmp_path / "Images_png/000007_02_01/002.png").write_bytes(b"no picture")
    with pytest.raises(DataUnsound, match=r"'002\.png', which is truncated or damaged"):
        read_image(tmp_path, record)
    (tmp_path / "Images_png/000007_02_01/002.png").write_bytes(encode_png(np.zeros((5, 6), np.int16)))
    with pytest.raises(DataUnsound, match="slices of several sizes"):
        read_image(tmp_path, record)
    with pytest.raises(DataUnsound, match="slices '6-2'; a range such as"):
        read_image(tmp_path, record.model_copy(update={"images": (_span(record, "6-2"),)}))
    with pytest.raises(DataMissing, match="no folder"):
        read_image(tmp_path / "elsewhere", record)
    (tmp_path / "DL_info.csv").write_text("File_name,Key_slice_index\n")
    with pytest.raises(DataUnsound, match="has no column Bounding_boxes, Coarse_lesion_type"):
        DeepLesion(look=LESIONS).records(tmp_path)
    table(tmp_path, ("000007_02_01_004.png", "", 5, "3, 6"))
    with pytest.raises(DataUnsound, match=r"line 2 of DL_info\.csv is incomplete"):
        DeepLesion(look=LESIONS).records(tmp_path)


def _span(record: Record, key: str) -> ImageFile:
    return record.images[0].model_copy(update={"key": key})
