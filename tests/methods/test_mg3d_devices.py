"""MG-3D on two devices of unequal parts: CML and DFA meet the whole batch, SSM a device's own patients (Sec. 3 of its fidelity
spec)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.train.hardware import Hardware
from bench.train.job import Job, demand_possible
from methods.parts.alignment import batch_contrast
from methods.parts.gathered import over_devices
from tests.methods.mg3d_on_two import SAMPLES, Gradients, gradients, method_and_batch
from tests.methods.volumes_with_reports import Reported, made
from tests.two_at_once import two_at_once

Found = tuple[dict[str, float], dict[str, Gradients]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return two_at_once("tests/methods/mg3d_on_two.py", tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def one() -> Found:
    method, batch, hidden = method_and_batch()
    return gradients(method, batch, hidden, 1.0)


def assert_alike(found: Gradients, expected: Gradients) -> None:
    size = max(float(grad.abs().max()) for grad in expected.values())
    assert size > 0
    for name, grad in expected.items():
        assert torch.allclose(found[name], grad, rtol=1e-4, atol=1e-4 * size), name


@pytest.mark.parametrize("term", ["mim", "sfr", "cml", "dfa"])
def test_two_devices_have_the_value_and_the_gradient_of_one(two: list[dict[str, Any]], one: Found, term: str) -> None:
    """Means over samples need nothing of others; the two contrasts gather, and each device's rows alone carry gradients."""
    for rank in two:
        assert rank["values"][term] == pytest.approx(one[0][term], rel=1e-5)
        assert_alike(rank["gradients"][term], one[1][term])


@pytest.mark.parametrize("term", ["ssm", "mlm"])
def test_similarities_and_words_are_those_of_a_devices_own_patients(
    two: list[dict[str, Any]], one: Found, term: str
) -> None:
    """No pair of patients crosses devices, which is not what one device gives; a device's words are averaged before devices are."""
    method, batch, hidden = method_and_batch()
    parts = [
        gradients(method, {n: v[r::2] for n, v in batch.items()}, hidden[r::2], len(hidden[r::2]) / SAMPLES)
        for r in range(2)
    ]
    value = sum(values[term] for values, _ in parts)
    assert two[0]["values"][term] == pytest.approx(value, rel=1e-5)
    summed = {name: parts[0][1][term][name] + parts[1][1][term][name] for name in one[1][term]}
    assert_alike(two[0]["gradients"][term], summed)
    if term == "ssm":  # the second device's one patient has none to be compared with
        assert parts[1][0]["ssm"] == 0 and abs(value - one[0]["ssm"]) > 1e-4


def test_one_process_gathers_nothing_to_the_last_bit() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(5, 8), torch.randn(5, 8)

    def contrast(x: Tensor, y: Tensor) -> Tensor:
        return batch_contrast(x, y, temperature=0.1)

    assert torch.equal(over_devices(contrast, left, right), contrast(left, right))


def test_several_devices_are_let_in_with_their_parts_in_one_piece(tmp_path: Path) -> None:
    method = made()
    job = Job(key="k", phase=method.phases[0], model=method, corpus=Reported(), folder=tmp_path, prepare=method.prepare)
    demand_possible(job, Hardware("cpu", devices=2))
