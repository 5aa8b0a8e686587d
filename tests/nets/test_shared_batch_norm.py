"""A batch norm that several devices share: each holds a part, all take the statistics of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.nets.shared_batch_norm import SharedBatchNorm, shares_batch, whole_batch
from tests.nets.norm_on_two import CHANNELS, SAMPLES, batch, taught
from tests.two_at_once import two_at_once

Found = dict[str, Tensor]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    return two_at_once("tests/nets/norm_on_two.py", tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def one() -> Found:
    """What torch's plain norm makes of the whole batch."""
    return taught(nn.BatchNorm3d(CHANNELS), slice(None), 1.0)


@pytest.mark.parametrize("what", ["out", "input"])
def test_parts_of_unlike_size_are_normalised_and_taught_as_the_whole_batch_is(
    two: list[Found], one: Found, what: str
) -> None:
    assert [len(rank[what]) for rank in two] == [3, 2]
    for rank, found in enumerate(two):
        assert torch.allclose(found[what], one[what][rank::2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("what", ["weight.grad", "bias.grad", "running_mean", "running_var", "num_batches_tracked"])
def test_both_devices_end_with_the_gradients_and_the_statistics_of_one(two: list[Found], one: Found, what: str) -> None:
    for found in two:
        assert torch.allclose(found[what], one[what], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(SAMPLES, CHANNELS, 2, 3, 2), (SAMPLES, CHANNELS)])
def test_in_one_process_it_is_torchs_plain_norm_bit_by_bit(training: bool, shape: tuple[int, ...]) -> None:
    plain = (nn.BatchNorm3d if len(shape) == 5 else nn.BatchNorm1d)(CHANNELS).train(training)
    shared = SharedBatchNorm(CHANNELS).train(training)
    assert list(shared.state_dict()) == list(plain.state_dict())
    x = batch(0)[0][(..., *[0] * (5 - len(shape)))]
    assert torch.equal(shared(x), plain(x))
    for name, value in plain.state_dict().items():
        assert torch.equal(shared.state_dict()[name], value)


def test_devices_share_a_batch_only_where_every_norm_asks_them() -> None:
    ours, theirs, none = SharedBatchNorm(2), nn.BatchNorm3d(2), nn.GroupNorm(1, 2)
    assert [whole_batch(net) for net in (nn.Sequential(ours), nn.Sequential(none, theirs), none)] == [True, True, False]
    assert [shares_batch(nn.Sequential(*parts)) for parts in ((ours, none), (ours, theirs), (none,))] == [
        True,
        False,
        True,
    ]
