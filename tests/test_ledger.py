"""The exposure ledger of the papers' pools: what their cards declare, and what a run makes of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pydicom
import pytest

from bench import registry
from bench.contracts.cards import CorpusCard, CorpusMember
from bench.contracts.errors import DataMissing
from bench.data.exposure import declared_by
from bench.data.roster import roster_of
from bench.data.splits import lists, read_list
from bench.phantom_data import write_task
from bench.published.layout import exposures
from bench.run import Place, exposure, resolve_at, task_volumes
from bench.spec import RunSpec, make_spec
from bench.store import Store
from tasks.layouts.ct_rate import CtRate
from tasks.layouts.series_tree import SeriesTree
from tests.command_line import SHORT, bench

SPLITS = registry.splits_folder()
CT_RATE = ("ct-rate-1.4k", "ct-rate-2.8k", "ct-rate-10k", "ct-rate-47.1k")
COVID = {"covid1920": "185 of its 199 scans"}
# what the pool's card says of each task: `all` counts every test case, other words count none and are passed on
DECLARED: dict[str, dict[str, str]] = {
    "mim-1k": COVID,
    "mim-10k": COVID
    | {
        "luna16": "843 of its 888 scans",
        "lidc": "a part",
        "nodulemnist3d": "a part",
        "flare22": "probably a part",
        **dict.fromkeys(("amos22", "msd03", "msd06", "msd07", "msd08", "msd09", "msd10"), "perhaps a part"),
        "organmnist3d": "perhaps a part",
    },
    "ar-corpus": {
        **dict.fromkeys(("amos22", "flare22", "stoic", "covid1920", "fracturemnist3d"), "all"),
        **dict.fromkeys(("msd03", "msd07", "msd09"), "probably most: AbdomenCT-1K"),
        **dict.fromkeys(("msd06", "msd08", "msd10"), "perhaps a part: FLARE23"),
        "organmnist3d": "probably most: cut from LiTS",
        "brats21": "probably all: BraTS 2023",
    },
    "spad-55": {
        **dict.fromkeys(("btcv", "chaos", "acdc", "amos22", "flare22", "stoic"), "all"),
        **dict.fromkeys((f"msd{n:02d}" for n in (3, 4, 6, 7, 8, 9, 10)), "all"),
        **dict.fromkeys(("lidc", "luna16"), "all"),
        "nodulemnist3d": "all: cut from LIDC-IDRI",
        "organmnist3d": "all: cut from LiTS",
        "fracturemnist3d": "all: cut from RibFrac",
        "brats21": "probably all: BraTS 2023",
    },
    "ctrg-chest-1.4k": {},
    **{key: {} for key in CT_RATE},
}
# tasks whose cases or scans bear the pool's own names, and how many of all their parts the pool lists
NAMED = {
    "mim-1k": {"btcv": 24, "covid1920": 185},
    # LIDC's list names patients: which scans they have, and so which of them the pool lists, the data alone tell
    "mim-10k": {"btcv": 24, "covid1920": 185, "luna16": 843, "lidc": 0, "stoic": 2_000},
    "ctrg-chest-1.4k": {"ctrg_report": 1_444},
}


def keys(card: CorpusCard) -> set[str]:
    return {member.key for member in card.members}


def member(corpus: str, key: str) -> CorpusMember:
    return next(one for one in registry.corpus(corpus).members if one.key == key)


# The cards ----------------------------------------------------------------------------------------------------


def test_every_corpus_has_its_row() -> None:
    assert set(DECLARED) == set(registry.names(registry.CORPORA))


@pytest.mark.parametrize("corpus", DECLARED)
def test_a_card_declares_the_tasks_whose_images_the_pool_holds_and_no_others(corpus: str) -> None:
    card = registry.corpus(corpus)
    said = declared_by(card, keys(card))
    assert set(said) == set(DECLARED[corpus])
    assert {task: said[task] for task in said if not said[task].startswith(DECLARED[corpus][task])} == {}
    assert set(said) <= set(registry.names(registry.TASKS)) and set(card.exposes) <= set(said)


@pytest.mark.parametrize("corpus", NAMED)
def test_a_pool_that_is_listed_by_the_tasks_own_names_says_so(corpus: str) -> None:
    found: dict[str, int] = {}
    for one in registry.corpus(corpus).members:
        listed = set(read_list(SPLITS, *one.cases)) if one.cases else set()
        for task in one.named_as:
            card = registry.task(task)
            told = hasattr(card.files, "strata") or hasattr(card.files, "own_parts")
            split = card.protocols["bench"].split
            everything = lists(split, SPLITS, 0, roster_of(card.files, None) if told else None).everything()
            found[task] = len(listed & set(everything))
    assert found == NAMED[corpus]


def test_no_test_case_of_btcv_and_of_the_reports_is_in_the_pools_that_are_clean_of_them() -> None:
    for corpus, key, task in (
        ("mim-1k", "btcv", "btcv"),
        ("mim-10k", "btcv", "btcv"),
        ("ctrg-chest-1.4k", "ctrg-chest", "ctrg_report"),
    ):
        one = member(corpus, key)
        assert one.cases and task in one.named_as
        test = lists(registry.task(task).protocols["bench"].split, SPLITS).test
        assert test and not set(read_list(SPLITS, *one.cases)) & set(test)


@pytest.mark.parametrize("corpus", CT_RATE)
def test_pools_of_ct_rate_hold_its_training_part_under_the_tasks_names_and_never_its_validation(corpus: str) -> None:
    (one,) = registry.corpus(corpus).members
    assert set(one.named_as) == {"ctrate_prompts", "ctrate_retrieval"}
    assert isinstance(one.files, CtRate) and one.files.parts == ("train",)


def test_spads_pool_reads_the_hidden_part_of_chaos() -> None:
    files = member("spad-55", "chaos").files
    assert (
        isinstance(files, SeriesTree)
        and files.series
        and all(series.glob.startswith("*_Sets/") for series in files.series)
    )


def test_what_printed_tables_say_of_exposure_is_what_the_cards_say() -> None:
    printed = {(corpus, task) for entry in exposures() for corpus in entry.corpora for task in entry.tasks}
    counted = {(corpus, task) for corpus, said in DECLARED.items() for task in said}
    named = {(corpus, task) for corpus in ("mim-1k", "mim-10k") for task in NAMED[corpus] if task != "btcv"}
    unprinted = {("spad-55", "luna16"), ("spad-55", "brats21"), ("ar-corpus", "brats21")}
    unprinted |= {(corpus, "organmnist3d") for corpus in ("ar-corpus", "mim-10k")}
    assert printed == (counted | named) - unprinted


def test_a_set_that_is_not_at_hand_exposes_nothing() -> None:
    card = registry.corpus("spad-55")
    assert declared_by(card, ()) == {}
    assert declared_by(card, {"acdc", "ixi"}) == {"acdc": "all: the pool's set acdc holds its images"}
    assert set(declared_by(card, {"msd03"})) == {"msd03", "organmnist3d"}


def test_flare23_alone_has_not_shown_all_of_flare22() -> None:
    for corpus in ("ar-corpus", "mim-10k"):
        said = declared_by(registry.corpus(corpus), {"flare23"})
        assert said["flare22"] == "probably a part: FLARE23 gathers scans of FLARE22"
        assert not any(words.startswith("all") for words in said.values())
    pool = registry.corpus("ar-corpus")
    assert declared_by(pool, {"flare23", "flare22"})["flare22"] == "all of its labelled scans"
    told = dataclasses.replace(pool, exposes={})
    assert declared_by(told, {"flare22", "flare23"})["flare22"] == "all: the pool's set flare22 holds its images"


def test_flare23_tells_the_same_of_every_task_in_either_pool_that_holds_it() -> None:
    ar, mim = (declared_by(registry.corpus(corpus), {"flare23"}) for corpus in ("ar-corpus", "mim-10k"))
    assert ar == mim and ar["msd08"].startswith("perhaps a part")


def test_every_pool_that_holds_lits_tells_it_of_the_organs_that_are_cut_from_it() -> None:
    holding = {"ar-corpus": {"abdomenct-1k"}, "mim-10k": {"flare23"}, "spad-55": {"msd03"}}
    for corpus, sets in holding.items():
        said = declared_by(registry.corpus(corpus), sets)
        assert {"msd03", "organmnist3d"} <= set(said), corpus


def test_what_a_card_says_of_a_task_goes_before_what_its_sets_say() -> None:
    card = dataclasses.replace(registry.corpus("spad-55"), exposes={"acdc": "a half", "la": "nothing to do with it"})
    assert declared_by(card, {"acdc"}) == {"acdc": "a half"}


# Runs ---------------------------------------------------------------------------------------------------------


def spec_of(task: str, corpus: str, tmp_path: Path, **more: bool) -> tuple[RunSpec, Place]:
    """A run of a small masked autoencoder on a task below `data`, pre-trained on what is there of a pool below `pool`."""
    spec = make_spec(
        method="mae3d",
        task=task,
        preset="tiny",
        corpus=corpus,
        corpus_root=str(tmp_path / "pool"),
        root=str(tmp_path / "data"),
        partial=True,
        **more,
    )
    return spec, Place.at(tmp_path / "results")


def test_names_and_voxels_of_a_listed_pool_are_known_again_and_left_out_on_demand(tmp_path: Path) -> None:
    """Of three test cases the pool has one under its own name, one under another name, and one not at all."""
    folder = write_task("covid1920", "smoke", tmp_path / "data")
    listed = read_list(SPLITS, "corpus_tcia_covid19.json", "train")
    here = {record.case_id for record in registry.task("covid1920").files.records(folder)}
    test = [case for case in lists(registry.task("covid1920").protocols["bench"].split, SPLITS).test if case in here]
    named = next(case for case in test if case in listed)
    copied = next(case for case in test if case != named)
    stranger = next(case for case in listed if case not in here)
    pool = tmp_path / "pool" / "TCIA-Covid19"
    member("mim-1k", "tcia-covid19").files.write_phantom(pool, [named], "smoke")
    image = folder / "Train" / f"volume-covid19-A-{copied}_ct.nii.gz"
    shutil.copy(image, pool / f"volume-covid19-A-{stranger}.nii.gz")

    spec, place = spec_of("covid1920", "mim-1k", tmp_path)
    cases = resolve_at(dataclasses.replace(spec, exclude_exposed=True), place).words.cases
    assert set(cases.excluded) == {named, copied} and set(cases.here.test) == {*test} - {named, copied}
    chain = resolve_at(spec, place)
    seen = exposure(chain, place, task_volumes(chain, place))
    assert dict(seen.cases) == {
        named: "the same name in the corpus",
        copied: f"the same voxels as tcia-covid19/{stranger}",
    }
    assert seen.summary.startswith(f"2 of {len(test)} test cases were seen") and "185 of its 199 scans" in seen.summary


def test_a_candidate_is_known_by_its_scan(tmp_path: Path) -> None:
    folder = write_task("luna16", "smoke", tmp_path / "data")
    listed = set(read_list(SPLITS, "corpus_luna16.json", "T"))
    test = lists(registry.task("luna16").protocols["bench"].split, SPLITS).test
    here = {record.scan_id for record in registry.task("luna16").files.records(folder)}
    shown = next(scan for scan in test if scan in here and scan in listed)
    member("mim-10k", "luna16").files.write_phantom(tmp_path / "pool" / "LUNA16", [shown], "smoke")
    spec, place = spec_of("luna16", "mim-10k", tmp_path, exclude_exposed=True)
    cases = resolve_at(spec, place).words.cases
    assert len(cases.excluded) == 4 and {case.partition("#")[0] for case in cases.excluded} == {shown}
    assert cases.here.test and not [case for case in cases.here.test if case.startswith(shown)]


def test_a_nodule_of_lidc_is_known_by_the_uid_that_luna16_calls_its_scan(tmp_path: Path) -> None:
    folder = write_task("lidc", "smoke", tmp_path / "data")
    card = registry.task("lidc")
    spec, place = spec_of("lidc", "mim-10k", tmp_path, exclude_exposed=True)
    test = resolve_at(
        dataclasses.replace(spec, corpus="own", corpus_root="", exclude_exposed=False), place
    ).words.cases.here.test
    shown = test[0].partition("/")[0]
    uid = read_list(SPLITS, "corpus_luna16.json", "T")[0]
    for path in (folder / shown).rglob("*.dcm"):
        slice_ = pydicom.dcmread(path)
        slice_.SeriesInstanceUID = uid
        slice_.save_as(path)
    (folder / shown / "touched").write_text("")  # the folder's time tells that something changed
    assert {r.scan_id for r in card.files.records(folder) if r.patient_id == shown} == {uid}
    member("mim-10k", "luna16").files.write_phantom(tmp_path / "pool" / "LUNA16", [uid], "smoke")
    cases = resolve_at(spec, place).words.cases
    assert {case.partition("/")[0] for case in cases.excluded} == {shown} and len(cases.excluded) == 2
    assert len(cases.here.test) == len(test) - 2
    chain = resolve_at(dataclasses.replace(spec, exclude_exposed=False), place)
    seen = exposure(chain, place, task_volumes(chain, place))
    assert set(seen.cases.values()) == {"its scan is in the corpus under the same name"} and len(seen.cases) == 2
    assert "589" in seen.summary


def test_what_a_card_declares_counts_every_test_case(tmp_path: Path) -> None:
    write_task("amos22", "smoke", tmp_path / "data")
    member("ar-corpus", "amos22").files.write_phantom(tmp_path / "pool" / "amos22-ar-pool", ["a", "b"], "smoke")
    spec, place = spec_of("amos22", "ar-corpus", tmp_path, exclude_exposed=True)
    with pytest.raises(DataMissing, match=r"All \d+ test cases were seen in pre-training") as caught:
        resolve_at(spec, place)
    assert caught.value.case == "amos22" and "--corpus own" in caught.value.remedy
    chain = resolve_at(dataclasses.replace(spec, exclude_exposed=False), place)
    seen = exposure(chain, place, task_volumes(chain, place))
    assert set(seen.cases) == set(chain.words.cases.here.test)
    assert set(seen.cases.values()) == {"declared on the corpus' card"}
    assert seen.summary.endswith("the pool's set amos22 holds its images")


def test_a_run_on_a_pool_that_declares_its_task_says_so_in_its_record(tmp_path: Path) -> None:
    write_task("fracturemnist3d", "smoke", tmp_path / "data")
    member("ar-corpus", "ribfrac").files.write_phantom(tmp_path / "pool" / "ribfrac-ar-pool", ["a", "b"], "smoke")
    places = ("--root", tmp_path / "data", "--corpus-root", tmp_path / "pool", "--results", tmp_path / "results")
    words = ("--method", "mae3d", "--task", "fracturemnist3d", "--preset", "tiny", "--corpus", "ar-corpus", "--partial")
    cell = Store(tmp_path / "results").read(bench("run", *words, *SHORT, *places, "--json").value["cell"])
    assert len(cell.exposed) == cell.n > 0 and set(cell.exposed.values()) == {"declared on the corpus' card"}
    assert cell.exposure.endswith("the corpus' card says: all: cut from RibFrac")
