"""Components of variance against tables solved by hand and against simulated studies whose components are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.stats.variance import Run, components


def study(draw: np.random.Generator, splits: int, seeds: int, cases: int, sd: dict[str, float]) -> list[Run]:
    """Runs drawn from the model with known standard deviations."""
    runs = []
    for split in range(splits):
        base = draw.normal(0, sd["split"])
        levels = draw.normal(0, sd["case"], cases)
        for seed in range(seeds):
            values = base + levels + draw.normal(0, sd["seed"]) + draw.normal(0, sd["residual"], cases)
            runs.append(Run(split, seed, {f"{split}-{i}": float(v) for i, v in enumerate(values)}))
    return runs


def test_a_table_of_two_seeds_and_two_cases_is_split_by_hand() -> None:
    found = components([Run(0, 0, {"a": 1.0, "b": 2.0}), Run(0, 1, {"a": 3.0, "b": 4.0})])
    assert (found.case, found.seed, found.residual) == pytest.approx((0.5, 2.0, 0.0))
    assert math.isnan(found.split) and (found.cases, found.seeds, found.splits) == (2, 2, 1)


def test_the_mean_squares_are_those_of_a_two_way_table() -> None:
    """Four cases by three seeds, expected mean squares solved in plain sums."""
    table = np.random.default_rng(0).normal(size=(4, 3)) + np.array([[0.0], [3], [6], [9]])
    found = components([Run(0, s, {str(c): float(table[c, s]) for c in range(4)}) for s in range(3)])
    grand = table.mean()
    case_square = sum(3 * (table[c].mean() - grand) ** 2 for c in range(4)) / 3
    seed_square = sum(4 * (table[:, s].mean() - grand) ** 2 for s in range(3)) / 2
    residual = (
        sum((table[c, s] - table[c].mean() - table[:, s].mean() + grand) ** 2 for c in range(4) for s in range(3)) / 6
    )
    assert found.residual == pytest.approx(residual)
    assert found.case == pytest.approx((case_square - residual) / 3)
    assert found.seed == pytest.approx(max((seed_square - residual) / 4, 0))


def test_simulated_studies_give_their_components_back_on_average() -> None:
    sd = {"case": 3.0, "seed": 2.0, "split": 4.0, "residual": 1.0}
    draw = np.random.default_rng(1)
    found = [components(study(draw, 5, 3, 12, sd)) for _ in range(600)]
    for name, expected in sd.items():
        assert np.mean([getattr(f, name) for f in found]) == pytest.approx(expected**2, rel=0.12)


def test_splits_of_unequal_size_are_pooled_by_their_degrees_of_freedom() -> None:
    sd = {"case": 3.0, "seed": 2.0, "split": 0.0, "residual": 1.0}
    draw = np.random.default_rng(2)
    found = []
    for _ in range(600):
        small, large = study(draw, 1, 2, 5, sd), study(draw, 1, 4, 25, sd)
        found.append(components([*small, *[Run(1, run.seed, run.values) for run in large]]))
    assert np.mean([f.seed for f in found]) == pytest.approx(4.0, rel=0.12)
    assert np.mean([f.case for f in found]) == pytest.approx(9.0, rel=0.12)


def test_one_seed_cannot_tell_its_own_variance() -> None:
    found = components([Run(split, 0, {f"{split}{c}": v for c, v in (("a", 1.0), ("b", 3.0))}) for split in (0, 1)])
    assert math.isnan(found.seed) and math.isnan(found.residual)
    assert found.case == pytest.approx(2.0) and found.split == 0.0 and found.negative == ("split",)


def test_cases_undefined_in_a_run_and_seeds_run_twice_are_left_out() -> None:
    whole = [Run(0, 0, {"a": 1.0, "b": 2.0}), Run(0, 1, {"a": 3.0, "b": 4.0})]
    holes = [
        Run(0, 0, {"a": 1.0, "b": 2.0, "c": math.nan}),
        Run(0, 1, {"a": 3.0, "b": 4.0, "c": 9.0}),
        Run(0, 1, {"a": 0.0}),
    ]
    assert components(holes) == components(whole)
    nothing = components([])
    assert math.isnan(nothing.case) and nothing.cases == 0


def added(split: int, cases: list[float], seeds: list[float]) -> list[Run]:
    """The runs of a split whose scores are a case's level plus a seed's, so that nothing is left over."""
    return [
        Run(split, at, {f"{split}-{k}": level + seed for k, level in enumerate(cases)}) for at, seed in enumerate(seeds)
    ]


def test_the_variance_of_splits_is_what_their_cases_and_seeds_do_not_explain() -> None:
    """Means 2 and 12 have the variance 50, of which 3 cases of variance 1 explain 1/3 and 2 seeds of variance 2 explain 1."""
    found = components([*added(0, [0, 1, 2], [0, 2]), *added(1, [10, 11, 12], [0, 2])])
    assert (found.case, found.seed, found.residual) == pytest.approx((1, 2, 0))
    assert found.split == pytest.approx(50 - 1 / 3 - 1) and found.negative == ()


def test_splits_of_unequal_size_are_weighed_by_their_degrees_of_freedom_by_hand() -> None:
    """Squares of cases 2 x 2 and 3 x 9 on 1 + 3 degrees, in which the component stands (1 x 2 + 3 x 3) / 4 times; of seeds
    2 x 1/2 and 4 x 2 on 1 + 2 degrees, (1 x 2 + 2 x 4) / 3 times."""
    found = components([*added(0, [0, 2], [0, 1]), *added(1, [0, 0, 3, 3], [0, 1, 2])])
    assert found.case == pytest.approx((31 / 4) / (11 / 4)) and found.seed == pytest.approx(3 / (10 / 3))


def test_one_case_cannot_tell_a_seed_from_what_is_left_over_and_no_difference_is_not_below_zero() -> None:
    assert math.isnan(components(added(0, [0.5], [0, 1])).seed)
    same = components(added(0, [0, 1], [0, 0]))
    assert same.seed == 0 and same.negative == ()
