"""The latent person: same name same person, correlated organs, anatomy of its coefficients."""

from __future__ import annotations

import numpy as np
import pytest

from bench.phantoms.body import GALLBLADDER_ABSENT_RATIO, SHAPE_COEFFICIENTS, person, stream


def test_the_same_key_gives_the_same_person_whatever_was_drawn_in_between() -> None:
    first = person("smoke", "btcv", "img0001")
    person("smoke", "btcv", "img0002")
    np.random.default_rng(0).random(10)
    assert person("smoke", "btcv", "img0001") == first
    assert person("smoke", "btcv", "img0002") != first


def test_streams_of_different_names_differ_and_do_not_touch_the_global_state() -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    draws = {tuple(stream(*parts).integers(0, 2**32, 4).tolist()) for parts in (("a",), ("b",), ("a", "b"), ("ab",))}
    assert len(draws) == 4
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_a_known_stream_keeps_its_first_numbers() -> None:
    assert stream("phantom", "golden").integers(0, 1000, 5).tolist() == [621, 713, 677, 494, 901]


def test_about_eight_percent_of_people_lack_a_gallbladder() -> None:
    absent = sum(not person("mini", "x", str(number)).gallbladder_present for number in range(400)) / 400
    assert absent == pytest.approx(GALLBLADDER_ABSENT_RATIO, abs=0.04)  # three standard errors of 400 draws


def test_shape_coefficients_are_bounded_and_correlated_between_people() -> None:
    shapes = np.array([person("mini", "x", str(number)).shape for number in range(400)])
    assert shapes.shape == (400, SHAPE_COEFFICIENTS)
    assert np.abs(shapes).max() <= 2
    assert shapes.std(axis=0) == pytest.approx(np.full(SHAPE_COEFFICIENTS, 0.95), abs=0.15)
    correlation = np.abs(np.corrcoef(shapes.T)[np.triu_indices(SHAPE_COEFFICIENTS, 1)])
    assert correlation.max() > 0.5  # independent draws of 400 would stay below 0.2


def test_the_pose_is_a_rotation_by_few_degrees() -> None:
    for number in range(20):
        turn = np.array(person("mini", "x", str(number)).rotation)
        assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-5)
        assert np.linalg.det(turn) == pytest.approx(1.0, abs=1e-5)
        assert np.diag(turn).min() > np.cos(np.radians(8.0)) ** 2 - 1e-6
