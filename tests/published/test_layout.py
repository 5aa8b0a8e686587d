"""The tables stand as on paper: every printed cell in one place, every place filled, every word of the mapping known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.contracts.cards import MethodCard
from bench.contracts.errors import SpecError
from bench.metrics import METRICS, parse_metric
from bench.nets.decoders import DECODERS
from bench.published.layout import PaperTable, exposures, networks, paper_table, paper_tables
from bench.published.printed import PAPERS, printed

TABLES = paper_tables()
PRINTED_TABLES = {
    "ar": ["1", "2", "3", "4"],
    "spad": ["2", "3", "4", "5"],
    "mim": ["III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV"],
    "mg3d": ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"],
}
TASKS = {
    "msd01", "msd03", "msd04", "msd06", "msd07", "msd08", "msd09", "msd10", "la", "ricord", "lidc", "organmnist3d",
    "nodulemnist3d", "fracturemnist3d", "adrenalmnist3d", "vesselmnist3d", "synapsemnist3d", "dermamnist", "retinamnist",
    "tissuemnist", "btcv", "chaos", "mmwhs", "amos22", "flare22", "brats21", "ccccii", "luna16", "covid1920", "acdc", "stoic",
    "ctrg_report", "ctrate_prompts", "ctrate_retrieval",
}  # fmt: skip
PRINTED_OTHERWISE = {
    ("mim:XI", "flops"), ("mim:XI", "pretrain-duration"), ("mim:XIII", "updated-params"), ("mim:XIV", "updated-params"),
}  # fmt: skip
every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def test_every_results_and_ablation_table_of_the_four_papers_is_there_in_printed_order() -> None:
    found = [(table.paper.key, table.number) for table in TABLES]
    assert found == [(paper, number) for paper, numbers in PRINTED_TABLES.items() for number in numbers]
    assert len({table.name for table in TABLES}) == 28


def test_together_the_tables_hold_every_printed_cell_once() -> None:
    placed = [cell for table in TABLES for row in table.rows() for cell in row.cells if cell]
    assert len(placed) == len(set(placed)) == 1831
    assert set(placed) == {cell for paper in PAPERS for cell in printed(paper)}


@every_table
def test_no_place_of_a_table_is_blank_and_no_row_group_empty(table: PaperTable) -> None:
    rows = table.rows()
    assert all(cell is not None for row in rows for cell in row.cells)
    assert list(dict.fromkeys(row.group for row in rows)) == list(table.row_groups)
    assert len({(row.group, row.stub) for row in rows}) == len(rows)
    assert all(len(row.stub) == len(table.stub) for row in rows)


@every_table
def test_units_and_digits_of_a_column_are_those_printed(table: PaperTable) -> None:
    for row in table.rows():
        for column, cell in zip(table.columns, row.cells, strict=True):
            assert cell is not None and column.unit == cell.unit
            assert cell.decimals == column.decimals or (table.name, cell.metric) in PRINTED_OTHERWISE


@every_table
def test_a_metric_is_better_the_way_the_metric_itself_says(table: PaperTable) -> None:
    for row in table.rows():
        for column, cell in zip(table.columns, row.cells, strict=True):
            assert cell is not None
            name = cell.metric.partition("@")[0]
            if name in METRICS:
                assert column.higher_is_better == METRICS[name].higher_is_better
                assert column.measured
            else:
                assert not column.measured


@every_table
def test_every_printed_task_is_mapped_once_to_a_known_task_protocol_and_metric(table: PaperTable) -> None:
    for row in table.rows():
        for column, cell in zip(table.columns, row.cells, strict=True):
            assert cell is not None
            if column.over:
                assert cell.average and set(column.over) <= set(table.paper.tasks)
            elif column.measured:
                task = table.paper.tasks[cell.task_slug]
                assert task.task in TASKS and task.protocol == table.paper.key
                parse_metric(task.metric_id(cell.metric))


def test_rows_published_under_another_name_are_found_under_ours() -> None:
    lidc = paper_table("ar:2").paper.tasks["lidc"]
    brats = paper_table("mim:VII").paper.tasks["brats21"]
    assert (lidc.task, lidc.target, lidc.protocol) == ("nodulemnist3d", "", "ar")
    assert (brats.task, brats.target, brats.protocol) == ("msd01", "mim_compat", "mim")


def test_one_msd_task_has_the_target_of_each_paper() -> None:
    targets = {
        (t.paper.key, name): mapped.target
        for t in TABLES
        for name, mapped in t.paper.tasks.items()
        if name.startswith("msd")
    }
    assert targets == {
        ("ar", "msd03"): "organ", ("ar", "msd06"): "tumor", ("ar", "msd07"): "both", ("ar", "msd08"): "both",
        ("ar", "msd09"): "organ", ("ar", "msd10"): "tumor",
        ("mim", "msd03"): "organ", ("mim", "msd06"): "tumor", ("mim", "msd07"): "organ", ("mim", "msd08"): "both",
        ("mim", "msd09"): "organ", ("mim", "msd10"): "tumor",
        ("mg3d", "msd06"): "tumor",
    }  # fmt: skip


def test_a_row_of_mim_table_three_reads_as_on_paper() -> None:
    table = paper_table("mim:III")
    assert [column.head for column in table.columns][:3] == ["Spl", "RKid", "LKid"]
    last = table.rows()[-1]
    assert last.stub == ("MiM", "mim-10k", "Swin-UNETR")
    assert [cell.value for cell in last.cells if cell][-1] == "85.41"


def test_a_row_of_spad_table_five_joins_three_methods_at_one_share_of_labels() -> None:
    table = paper_table("spad:5")
    assert [(column.group, column.head) for column in table.columns[:3]] == [
        ("Dice (%)", "TFS"), ("Dice (%)", "Ours"), ("Dice (%)", "Delta"),
    ]  # fmt: skip
    row = table.rows()[0]
    assert row.stub == ("0.2",)
    dice = [cell.number for cell in row.cells[:3] if cell]
    assert [str(value) for value in dice] == ["70.98", "77.84", "6.85"]  # as printed, though the last is not 6.86


def test_printed_networks_lead_to_decoders_that_exist() -> None:
    assert set(networks().values()) <= set(DECODERS)
    assert "decoder" in MethodCard.__dataclass_fields__


def test_exposures_name_known_corpora_and_tasks() -> None:
    corpora = {cell.pretrain_data for paper in PAPERS for cell in printed(paper)}
    for entry in exposures():
        assert set(entry.corpora) <= corpora
        assert set(entry.tasks) <= TASKS


def test_a_table_is_found_in_any_case_and_an_unknown_one_told_with_the_nearest() -> None:
    assert paper_table("MIM:iii").name == "mim:III"
    with pytest.raises(SpecError, match="Did you mean 'mg3d:VIII'"):
        paper_table("mg3d:VIIII")


def test_the_notes_are_words_for_a_reader_without_machine_paths() -> None:
    text = (Path(__file__).parent.parent.parent / "bench/published/tables.toml").read_text()
    assert not re.search(r"/work/|/tmp/|protocol\.md|tasks\.md", text)
