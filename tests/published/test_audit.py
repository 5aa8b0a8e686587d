"""The audit finds what is planted, stays silent on tables that add up, and finds in the four papers what was found by hand."""

from __future__ import annotations

import random
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.published.audit import all_printed, audit, explain, of_table
from bench.published.findings import CONFIDENCE, KINDS, Finding, decimal_text
from bench.published.known import Claim, Count, Known, Size, Total
from bench.published.printed import Printed
from tests.published.printed_rows import make_cell, make_row

HALVES = (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_HALF_DOWN)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
SHARES = st.decimals(min_value=20, max_value=95, places=6)


@pytest.fixture(scope="module")
def papers() -> list[Finding]:
    return audit(all_printed())


def kinds(cells: list[Printed], known: Known | None = None) -> list[str]:
    return [finding.kind for finding in audit(cells, known or Known())]


def rounded(value: Decimal, rule: str, places: int = 2) -> str:
    return str(value.quantize(Decimal(1).scaleb(-places), rounding=rule))


# Averages


@EXAMPLES
@given(values=st.lists(SHARES, min_size=2, max_size=13), columns=st.sampled_from(HALVES), whole=st.sampled_from(HALVES))
def test_a_mean_of_exact_values_rounded_by_any_rule_is_never_a_finding(
    values: list[Decimal], columns: str, whole: str
) -> None:
    mean = sum(values, Decimal(0)) / len(values)
    row = make_row("alpha", {f"r{i}": rounded(v, columns) for i, v in enumerate(values)}, rounded(mean, whole))
    assert kinds(row) == []


@EXAMPLES
@given(values=st.lists(SHARES, min_size=2, max_size=13), columns=st.sampled_from(HALVES), whole=st.sampled_from(HALVES))
def test_a_mean_of_the_printed_values_is_never_a_finding(values: list[Decimal], columns: str, whole: str) -> None:
    printed = [rounded(v, columns) for v in values]
    mean = sum(map(Decimal, printed), Decimal(0)) / len(values)
    assert kinds(make_row("alpha", {f"r{i}": v for i, v in enumerate(printed)}, rounded(mean, whole))) == []


@EXAMPLES
@given(values=st.lists(SHARES, min_size=2, max_size=13), sign=st.sampled_from((1, -1)))
def test_one_last_digit_more_than_rounding_allows_is_found(values: list[Decimal], sign: int) -> None:
    printed = [rounded(v, ROUND_HALF_UP) for v in values]
    mean = sum(map(Fraction, printed), Fraction(0)) / len(values)
    step = Fraction(1, 100)
    reached = [k * step for k in range(int(mean / step) - 3, int(mean / step) + 5) if abs(k * step - mean) <= step]
    outside = decimal_text(max(reached) + step if sign > 0 else min(reached) - step, 2)
    (found,) = audit(make_row("alpha", {f"r{i}": v for i, v in enumerate(printed)}, outside), Known())
    assert (found.kind, found.printed) == ("average", outside)
    assert found.difference == pytest.approx(float(Fraction(outside) - mean), abs=1e-8)


def test_an_average_over_tasks_leaves_out_the_columns_that_it_is_not_over() -> None:
    known = Known(averages={"two_avg": ("la", "btcv")})
    cells = [make_cell(task_slug=t, value=v) for t, v in (("la", "80.00"), ("btcv", "90.00"), ("ricord", "10.00"))]
    whole = make_cell(task_slug="two_avg", region="average", is_average="1", value="85.00")
    assert kinds([*cells, whole], known) == []
    (found,) = audit([*cells, make_cell(task_slug="two_avg", region="average", is_average="1", value="60.00")], known)
    assert (found.recomputed, found.confidence) == ("85.00", "certain")


def test_an_average_whose_columns_are_unknown_is_at_most_possible_and_says_what_was_assumed() -> None:
    cells = [make_cell(task_slug=t, value=v) for t, v in (("la", "80.00"), ("btcv", "90.00"))]
    (found,) = audit([*cells, make_cell(task_slug="any_avg", region="average", is_average="1", value="70.00")], Known())
    assert found.confidence == "possible" and "all columns" in found.note


def test_an_average_outside_of_all_its_columns_is_certain_whatever_the_weights() -> None:
    (inside,) = audit(make_row("alpha", {"a": "80.00", "b": "90.00"}, "86.00"), Known())
    (outside,) = audit(make_row("alpha", {"a": "80.00", "b": "90.00"}, "91.00"), Known())
    assert (inside.confidence, outside.confidence) == ("likely", "certain")


def test_an_average_that_was_cut_instead_of_rounded_is_told_so() -> None:
    values = {"a": "80.00", "b": "80.00", "c": "80.01", "d": "80.04"}  # 80.0125, and 80.0 to one decimal either way
    assert kinds(make_row("alpha", values, "80.0")) == []
    (found,) = audit(make_row("alpha", {"a": "80.088", "b": "80.088"}, "80.0"), Known())
    assert "cutting digits off" in found.note and rounded(Decimal("80.088"), ROUND_DOWN, 1) == "80.0"


def test_a_column_of_another_unit_or_metric_is_not_averaged() -> None:
    row = make_row("alpha", {"a": "80.00", "b": "90.00"}, "85.00")
    assert kinds([*row, make_cell(region="a", metric="hd", unit="mm", value="12.0")]) == []


# Differences


def test_a_printed_gain_is_found_wrong_only_beyond_the_rounding_of_three_numbers() -> None:
    a, b = make_cell(method_slug="a", value="77.84"), make_cell(method_slug="b", value="70.98")
    for value, expected in (("6.86", []), ("6.85", []), ("6.87", []), ("6.88", ["delta"]), ("6.84", ["delta"])):
        assert kinds([a, b, make_cell(method_slug="a@minus_b", value=value)]) == expected


def test_a_gain_in_a_distance_is_what_it_became_smaller() -> None:
    words = {"metric": "assd", "unit": "mm"}
    cells = [make_cell(method_slug="a", value="1.00", **words), make_cell(method_slug="b", value="3.00", **words)]
    assert kinds([*cells, make_cell(method_slug="a@minus_b", value="2.00", **words)]) == []
    assert kinds([*cells, make_cell(method_slug="a@minus_b", value="-2.00", **words)]) == ["delta"]


# Repeats


def test_the_same_cell_with_other_digits_in_another_table_is_found_and_the_majority_counts() -> None:
    cells = [make_cell(table=table, value=value) for table, value in (("1", "84.46"), ("2", "84.66"), ("3", "84.66"))]
    (found,) = audit(cells, Known())
    assert (found.table, found.kind, found.printed, found.recomputed) == ("1", "repeat", "84.46", "84.66")
    assert found.difference == -0.2 and found.confidence == "likely"


def test_fewer_digits_of_the_same_number_are_no_repeat_and_other_settings_are_no_same_cell() -> None:
    assert kinds([make_cell(value="84.46"), make_cell(table="2", value="84.5")]) == []
    for change in (
        {"network": "ViT"},
        {"pretrain_data": "own"},
        {"label_ratio": "0.5"},
        {"metric": "nsd"},
        {"region": "x"},
    ):
        assert kinds([make_cell(value="84.46"), make_cell(table="2", value="60.00", **change)]) == []


def test_a_table_without_networks_is_compared_with_the_network_that_agrees() -> None:
    swin, vit = make_cell(network="Swin", value="80.00"), make_cell(network="ViT", value="70.00")
    assert kinds([swin, vit, make_cell(table="2", network="", value="70.00")]) == []
    (found,) = audit([swin, vit, make_cell(table="2", network="", value="75.00")], Known())
    assert found.kind == "repeat" and "does not name the network" in found.note


def test_a_standard_deviation_that_belongs_to_another_network_is_found_with_its_origin() -> None:
    cells = [make_cell(network=n, value=v, std=s) for n, v, s in (("B", "70.94", "4.17"), ("L", "70.79", "4.06"))]
    (found,) = audit([*cells, make_cell(table="2", network="L", value="70.79", std="4.17")], Known())
    assert found.column == "btcv dice std" and "alpha (B, none)" in found.note


@pytest.mark.parametrize(
    ("change", "word"),
    [({"note": "ocr-uncertain"}, "damaged"), ({"std": "0.50"}, "single run"), ({"paper": "other"}, "split")],
)
def test_a_repeat_with_an_innocent_reading_is_only_possible(change: dict[str, str], word: str) -> None:
    (found,) = audit([make_cell(value="84.46"), make_cell(table="2", value="84.66", **change)], Known())
    assert found.confidence == "possible" and word in found.note


def test_papers_that_print_fractions_and_percent_are_compared_on_one_scale() -> None:
    percent = make_cell(value="84.46")
    assert kinds([percent, make_cell(paper="other", unit="fraction", value="0.8446")]) == []
    (found,) = audit([percent, make_cell(paper="other", unit="fraction", value="0.8500")], Known())
    assert (found.printed, found.recomputed) == ("0.8500", "0.8446")


# Values that cannot be


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"value": "100.00"}, []),
        ({"value": "100.01"}, ["range"]),
        ({"value": "1.01", "unit": "fraction"}, ["range"]),
        ({"value": "-0.01"}, ["range"]),
        ({"value": "100.01", "metric": "hd", "unit": "mm"}, []),
        ({"value": "-1.00", "metric": "hd", "unit": "mm"}, ["range"]),
        ({"std": "-0.50"}, ["range"]),
        ({"value": "-3.00", "method_slug": "a@minus_b"}, []),
    ],
)
def test_values_outside_of_what_a_metric_can_be_are_found(change: dict[str, str], expected: list[str]) -> None:
    assert kinds([make_cell(**change)]) == expected


@EXAMPLES
@given(data=st.data(), n=st.integers(20, 900), places=st.integers(1, 4))
def test_every_count_of_a_test_set_passes_and_what_lies_between_two_counts_does_not(
    data: st.DataObject, n: int, places: int
) -> None:
    right = data.draw(st.integers(0, n - 1))
    known = Known(size=(Size(task="t", test=n, source="s"),))
    share = Decimal(100 * right) / n
    for rule in HALVES:
        assert kinds([make_cell(task_slug="t", metric="acc", value=rounded(share, rule, places))], known) == []
    between = rounded(share + Decimal(50) / n, ROUND_HALF_EVEN, places)
    if Decimal(40) / n > Decimal(1).scaleb(-places):  # the gap is wider than a printed digit
        assert kinds([make_cell(task_slug="t", metric="acc", value=between)], known) == ["grid"]


def test_a_binary_auc_is_a_multiple_of_half_a_pair() -> None:
    known = Known(size=(Size(task="t", test=7, positives=3, negatives=4, source="s"),))
    assert kinds([make_cell(task_slug="t", metric="auc", unit="fraction", value="0.7083")], known) == []  # 17/24
    assert kinds([make_cell(task_slug="t", metric="auc", unit="fraction", value="0.7200")], known) == ["grid"]
    assert kinds([make_cell(task_slug="t", metric="dice", unit="fraction", value="0.7200")], known) == []


def test_a_mean_over_runs_lies_between_the_counts_and_is_only_possible() -> None:
    known = Known(size=(Size(task="t", test=310, means_of_runs=("alpha",), source="s"),))
    (quoted,) = audit([make_cell(task_slug="t", metric="acc", unit="fraction", value="0.8440")], known)
    (own,) = audit([make_cell(method_slug="b", task_slug="t", metric="acc", unit="fraction", value="0.8440")], known)
    assert (quoted.confidence, own.confidence) == ("possible", "likely")


def test_rounding_twice_is_offered_as_the_innocent_reading() -> None:
    known = Known(size=(Size(task="t", test=382, source="s"),))
    (found,) = audit([make_cell(task_slug="t", metric="acc", value="95.6")], known)  # 365/382 is 95.5497 %
    assert found.confidence == "possible" and "rounding twice" in found.note and "95.5497" in found.note


def test_a_test_set_that_is_only_assumed_gives_one_finding_for_the_column() -> None:
    known = Known(size=(Size(task="t", test=10, assumed=True, source="s"),))
    cells = [make_cell(method_slug=f"m{v}", task_slug="t", metric="acc", value=v) for v in ("70.00", "71.00", "72.00")]
    (found,) = audit(cells, known)
    assert (found.kind, found.printed, found.confidence) == ("size", "1 fit", "possible")


def test_a_standard_deviation_is_bounded_by_the_mean() -> None:
    three = Known(spread_runs={"toy": 3})
    assert kinds([make_cell(value="99.00", std="1.73")], three) == []  # 97.00, 100, 100
    assert kinds([make_cell(value="99.00", std="20.00")], three) == ["spread"]
    assert kinds([make_cell(value="99.00", std="14.07")]) == [] and kinds([make_cell(value="99.00", std="14.20")]) == [
        "spread"
    ]


def test_a_mean_distance_above_the_maximum_distance_is_found() -> None:
    words = {"unit": "mm"}
    mean, largest = make_cell(metric="assd", value="9.00", **words), make_cell(metric="hd", value="8.00", **words)
    assert kinds([mean, largest]) == ["order"]
    assert kinds([make_cell(metric="assd", value="8.00", **words), largest]) == []


# Copies


def random_table(seed: int, rows: int = 18, columns: int = 10) -> list[Printed]:
    """Unrelated methods: a level per method, a level per column, and their own noise."""
    draw = random.Random(seed)
    levels = [draw.gauss(0, 3) for _ in range(rows)]
    centres = [draw.uniform(60, 85) for _ in range(columns)]
    return [
        make_cell(method_slug=f"m{i}", region=f"r{c}", value=f"{centres[c] + levels[i] + draw.gauss(0, 1.5):.2f}")
        for i in range(rows)
        for c in range(columns)
    ]  # fmt: skip


def test_unrelated_rows_are_no_copies_in_a_hundred_tables() -> None:
    alarms = sum(bool(kinds(random_table(seed))) for seed in range(100))
    assert alarms <= 2  # three checks at a level of 0.001 each let expect 0.3


def changed(cells: list[Printed], method: str, values: dict[str, str]) -> list[Printed]:
    """The table with some values of one row replaced."""
    return [
        make_cell(method_slug=c.method_slug, region=c.region, value=values[c.region])
        if c.method_slug == method and c.region in values
        else c
        for c in cells
    ]


def test_a_row_that_repeats_five_of_ten_values_of_another_is_found() -> None:
    table = random_table(1)
    copied = {c.region: c.value for c in table if c.method_slug == "m3" and c.region < "r5"}
    (found,) = audit(changed(table, "m7", copied), Known())
    assert (found.kind, found.row) == ("copied-cells", "m3, m7") and found.column.count("dice") == 5


def test_a_row_that_is_another_plus_a_constant_is_found() -> None:
    table = random_table(2)
    moved = {
        c.region: str(c.number + Decimal("0.20") + i % 3 * Decimal("0.01"))
        for i, c in enumerate(table)
        if c.method_slug == "m3"
    }
    (found,) = audit(changed(table, "m7", moved), Known())
    assert (found.kind, found.row) == ("shifted-row", "m7 less m3")
    assert found.difference == pytest.approx(0.21, abs=0.01)


def test_variants_of_one_method_may_repeat_its_digits() -> None:
    table = random_table(3)
    twin = [make_cell(method_slug="m3@other", region=c.region, value=c.value) for c in table if c.method_slug == "m3"]
    assert kinds([*table, *twin]) == []


def test_copied_standard_deviations_are_found_between_rows_and_between_columns() -> None:
    draw = random.Random(4)
    table = [
        make_cell(
            method_slug=f"m{i}", region=f"r{c}", value=f"{draw.uniform(60, 80):.2f}", std=f"{draw.uniform(1, 8):.2f}"
        )
        for i in range(12)
        for c in range(6)
    ]
    assert kinds(table) == []
    spreads = {c.region: c.std for c in table if c.method_slug == "m1"}
    row = [
        make_cell(method_slug=c.method_slug, region=c.region, value=c.value, std=spreads[c.region])
        if c.method_slug == "m2"
        else c
        for c in table
    ]
    assert [(f.kind, f.row) for f in audit(row, Known())] == [("copied-spreads", "m1, m2")]
    first = {c.method_slug: c.std for c in table if c.region == "r0"}
    column = [
        make_cell(method_slug=c.method_slug, region=c.region, value=c.value, std=first[c.method_slug])
        if c.region == "r1"
        else c
        for c in table
    ]
    assert [(f.kind, f.column) for f in audit(column, Known())] == [("copied-column", "btcv r0 dice, btcv r1 dice std")]


def test_coarse_accuracies_of_a_small_test_set_agree_by_chance() -> None:
    draw = random.Random(5)
    cells = [
        make_cell(method_slug=f"m{i}", task_slug=f"t{c}", metric="acc", value=f"{100 * draw.randint(60, 70) / 84:.2f}")
        for i in range(15)
        for c in range(4)
    ]
    known = Known(size=tuple(Size(task=f"t{c}", test=84, source="s") for c in range(4)))
    assert kinds(cells, known) == []


# Settings and texts


def nsd_rows(table: str, gap: float, seed: int) -> list[Printed]:
    draw = random.Random(seed)
    cells = []
    for i in range(5):
        dice = draw.uniform(88, 91)
        nsd = dice + gap + 1.5 * (dice - 90) + draw.gauss(0, 0.2)
        words = {"table": table, "method_slug": f"{table}-{i}", "task_slug": "mmwhs"}
        cells += [make_cell(value=f"{dice:.2f}", **words), make_cell(metric="nsd", value=f"{nsd:.2f}", **words)]
    return cells


def test_two_tables_that_measured_one_metric_with_other_settings_are_found() -> None:
    assert kinds([*nsd_rows("1", -15, 1), *nsd_rows("2", -15, 2)]) == []
    (found,) = audit([*nsd_rows("1", -15, 1), *nsd_rows("2", 5, 2)], Known())
    assert (found.kind, found.table) == ("scale", "2") and found.difference == pytest.approx(20, abs=0.5)


def test_a_quotation_that_the_table_does_not_hold_is_found_with_the_place_of_its_digits() -> None:
    claim = Claim(paper="toy", table="1", method="alpha", task="btcv", metric="dice", says="70.00", where="abstract")
    cells = [make_cell(value="80.00"), make_cell(method_slug="beta", value="70.00")]
    (found,) = audit(cells, Known(claim=(claim,)))
    assert (found.kind, found.printed, found.recomputed) == ("claim", "70.00", "80.00") and "beta" in found.note
    assert kinds(cells, Known(claim=(claim.model_copy(update={"says": "80.0"}),))) == []
    assert kinds(cells, Known(claim=(claim.model_copy(update={"paper": "other"}),))) == []


def test_totals_and_counts_are_told_only_for_papers_that_are_audited() -> None:
    total = Total(paper="toy", table="1", what="volumes", says=10, parts=(4, 5))
    count = Count(paper="toy", table="1", what="cases", says=64, published=63, source="archive")
    known = Known(total=(total,), count=(count,))
    assert [(f.kind, f.difference) for f in audit([make_cell()], known)] == [("total", 1.0), ("count", 1.0)]
    assert kinds([make_cell(paper="other")], known) == []


# The four papers


@pytest.mark.parametrize(
    ("table", "row", "column", "kind", "printed", "recomputed"),
    [
        ("V", "swin_unetr", "msd5_avg average dice", "average", "68.98", "67.27"),
        ("V", "swin_unetr", "msd5_avg average nsd", "average", "75.16", "75.84"),
        ("V", "mae3d", "msd5_avg average dice", "average", "66.76", "67.40"),
        ("V", "gvsl", "msd5_avg average nsd", "average", "76.76", "76.47"),
        ("V", "mocov3, hpm, mcmae", "msd07 nsd, msd10 nsd", "copied-cells", "78.13, 55.13", ""),
        ("V", "localmim, simmim", "msd07 nsd, msd10 nsd", "copied-cells", "79.77, 54.35", ""),
        ("V", "unetr_scratch (UNETR, none)", "msd5_avg average dice", "claim", "62.98", "59.70"),
        ("I", "total", "volumes of the 10k corpus", "total", "10502", "10452"),
        ("IV", "simclr (mim-1k)", "btcv dice", "repeat", "79.85", "73.85"),
        ("IV", "pcrlv2 (mim-1k)", "btcv dice", "repeat", "81.32", "81.74"),
        ("IV", "mae3d (mim-1k)", "btcv dice", "repeat", "82.48", "82.40"),
        ("III", "mim (Swin-UNETR, mim-1k)", "btcv average dice", "repeat", "84.46", "84.66"),
        ("XI", "simmim (Swin-UNETR, mim-1k)", "btcv dice", "repeat", "82.24", "81.41"),
        ("VI", "mim (Swin-ViT, mim-10k)", "ccccii acc", "claim", "94.12", "94.26"),
        ("VI", "mim (Swin-ViT, mim-10k)", "ccccii auc", "claim", "99.52", "99.69"),
    ],
)
def test_what_was_found_by_hand_in_mim_is_found(
    papers: list[Finding], table: str, row: str, column: str, kind: str, printed: str, recomputed: str
) -> None:
    found = [(f.row, f.column, f.kind, f.printed, f.recomputed) for f in of_table(papers, "mim", table)]
    assert (row, column, kind, printed, recomputed) in found


def test_the_two_settings_of_nsd_on_whole_hearts_are_found(papers: list[Finding]) -> None:
    (found,) = [f for f in papers if f.kind == "scale"]
    assert (found.paper, found.table, found.column) == ("mim", "XIII", "mmwhs nsd less dice")


def test_the_spreads_that_a_scaling_row_shares_with_another_network_are_found(papers: list[Finding]) -> None:
    found = {f.column: (f.printed, f.recomputed) for f in of_table(papers, "mg3d", "VII") if f.kind == "repeat"}
    assert found == {"covid1920 dice std": ("4.17", "4.06"), "stoic auc std": ("7.26", "7.27")}


def test_tables_that_add_up_have_no_finding(papers: list[Finding]) -> None:
    clean = {("ar", "1"), ("ar", "3"), ("ar", "4"), ("spad", "4"), ("spad", "5"), ("mim", "VII"), ("mg3d", "V")}
    told = {(f.paper, f.table) for f in papers if f.kind != "count"}
    assert not clean & told


def test_every_finding_of_a_damaged_source_is_only_possible(papers: list[Finding]) -> None:
    (found,) = [f for f in papers if "ocr-uncertain" in f.note]
    assert (found.table, found.printed, found.confidence) == ("VIII", "3.23", "possible")


def test_words_of_findings_are_those_that_are_explained(papers: list[Finding]) -> None:
    assert {f.kind for f in papers} <= set(KINDS) and {f.confidence for f in papers} <= set(CONFIDENCE)
    assert all(f.note.endswith(".") and f.paper and f.row for f in papers)
    assert all(kind in explain() for kind in KINDS) and "0.001" in explain()
