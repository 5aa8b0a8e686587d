"""What a classification step is made of: how batches split, which cases are drawn, how volumes are stretched and turned."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.blueprint import blueprint
from bench.contracts.configs import Intensity, Sight
from bench.contracts.errors import DataUnsound
from bench.nets.conv3d import HybridEncoder
from bench.spec import make_spec
from tasks.kinds import classification as kind
from tasks.kinds.class_losses import probabilities
from tasks.kinds.class_samples import ShuffledCases, voxels_of
from tasks.kinds.crops import turn_matrix
from tests.tasks.test_classification_kind import Brightness, a_record, setup_of


@pytest.mark.parametrize(
    ("loss", "decoder", "splits", "shared"),
    [("ce", "unet", True, True), ("ce_by_class", "unet", False, False), ("ce", "linear", False, True)],
)
def test_a_batch_splits_unless_its_loss_or_a_norm_looks_at_all_of_it_and_devices_share_what_a_norm_looks_at(
    loss: str, decoder: str, splits: bool, shared: bool
) -> None:
    setup = setup_of(loss=loss)
    net = kind.build_net(setup, Brightness(), decoder, 0)
    phase = kind.training_phase(setup, net)
    assert (phase.splits_batch, phase.gathers) == (splits, shared)
    net.even = torch.nn.BatchNorm1d(1, affine=False)  # a norm that knows of no other device
    assert not kind.training_phase(setup, net).gathers


def test_a_norm_that_no_answer_depends_on_binds_no_batch_and_the_answers_of_parts_are_those_of_the_whole() -> None:
    """MiM's one batch norm stands in the map at stride 32, which segmentation alone reads: scans may come one by one."""
    sight = Sight(1, (64, 32, 32), None, Intensity("hu"))
    encoder = HybridEncoder(sight, widths=(6, 12, 24, 48), depths=(1, 1, 1, 1), heads=2, drop_path=0.0)
    setup = setup_of(loss="ce")
    net = kind.build_net(setup, encoder, "swin_unetr", 0)
    assert kind.training_phase(setup, net).splits_batch
    volume = torch.randn(3, 1, 64, 32, 32)
    torch.testing.assert_close(torch.cat([net(volume[:1]), net(volume[1:])]), net(volume))
    assert not kind.training_phase(setup, kind.build_net(setup, encoder, "linear", 0)).splits_batch


@pytest.mark.parametrize("balanced", [False, True])
def test_classes_are_drawn_alike_where_the_recipe_says_so(balanced: bool) -> None:
    setup = setup_of(balanced_classes=balanced)
    phase = kind.training_phase(setup, kind.build_net(setup, Brightness(), "unet", 0))
    assert phase.draw == ShuffledCases(balanced)


def test_a_stretched_volume_keeps_its_outermost_values_for_half_a_voxel() -> None:
    """New voxel i of 8 stands at old coordinate (i + 1/2) / 2 - 1/2 of 4."""
    ramp = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 1, 4, 4, 4)
    found = kind.sized(setup_of(), ramp)
    assert found.shape == (1, 1, 8, 8, 8)
    assert found[0, 0, :, 3, 3].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


@pytest.mark.parametrize(
    "recipe",
    [{"rotate_degrees": (0.0, 0.0, 10.0)}, {"zoom": (0.9, 1.1)}, {"elastic_probability": 0.5}, {}],
    ids=lambda recipe: next(iter(recipe), "neither"),
)
def test_a_batch_is_turned_where_the_recipe_rotates_zooms_or_bends(recipe: dict[str, Any]) -> None:
    volume = torch.randint(0, 255, (1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    batch = {
        "volume": volume,
        "label": torch.tensor([1]),
        "turn": torch.tensor([[[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]]),
        "gain": torch.tensor([[1.0]]),
        "offset": torch.tensor([[0.0]]),
        "factor": torch.tensor([[1.0]]),
    }
    found = kind.prepare(setup_of(**recipe))(batch)["volume"]
    still = volume.float() / 255
    expected = torch.rot90(still, 1, (2, 3)) if recipe else still
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_batch_is_bent_and_disturbed_by_the_numbers_that_were_drawn_for_it() -> None:
    """Every voxel looks one further along the first axis, then distances from the mean are halved."""
    volume = torch.randint(0, 255, (1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    bent = torch.zeros(1, 3, 2, 2, 2)
    bent[:, 0] = 1.0
    batch = {"volume": volume, "label": torch.tensor([1]), "turn": torch.eye(3)[None], "bent": bent}
    batch |= {name: torch.tensor([[value]]) for name, value in (("gain", 1.0), ("offset", 0.0), ("factor", 1.0))}
    setup = setup_of(elastic_probability=0.5, contrast_probability=0.5)
    moved = F.pad(volume[:, :, 1:].float() / 255, (0, 0, 0, 0, 0, 1))
    torch.testing.assert_close(kind.prepare(setup)(batch)["volume"], moved, atol=1e-5, rtol=0)
    paler = kind.prepare(setup)({**batch, "disturb": torch.tensor([[0.0, 0.0, 0.5, 1.0, 1.0]])})["volume"]
    torch.testing.assert_close(paler, (moved + moved.mean()) / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_score_that_is_no_number_is_refused(number: str, tmp_path: Path) -> None:
    path = tmp_path / "case0.json"
    path.write_text(f'{{"scores": {{"a": {number}, "b": 0.2, "c": 0.1}}}}')
    with pytest.raises(DataUnsound, match=r"^case0: .*no numbers"):
        kind.score_case(setup_of(), tmp_path, a_record(0, 1), None, path)


def test_answers_have_a_probability_each_and_classes_share_one() -> None:
    logits = torch.tensor([[0.0, math.log(3)]])
    assert probabilities(logits, multilabel=True)[0].tolist() == pytest.approx([0.5, 0.75])
    assert probabilities(logits, multilabel=False)[0].tolist() == pytest.approx([0.25, 0.75])


def test_a_head_starts_small_and_the_probes_norm_learns_nothing() -> None:
    class Wide(Brightness):
        pooled_width = 3_000

    net = kind.build_net(setup_of(), Wide(), "linear", 0)
    assert 0.0095 < net.head.weight.std().item() < 0.0105 and not net.head.bias.any()  # MAE's standard deviation, 0.01
    assert not list(net.even.parameters())


def test_a_candidates_cube_is_about_the_voxel_nearest_to_its_place() -> None:
    """At 2.6, 3.4 and 5 a cube of 2 x 2 x 4 voxels begins at 3 - 1, 3 - 1 and 5 - 2."""
    asked = []
    corpus = SimpleNamespace(
        fields=lambda case: {"centre": (2.6, 3.4, 5.0)}, read=lambda case, start, size: asked.append((start, size)) or 0
    )
    voxels_of(corpus, "case", (2, 2, 4))
    assert asked == [((2, 2, 3), (2, 2, 4))]


def test_what_turns_into_a_classified_image_from_outside_is_as_dark_as_its_outside() -> None:
    setup = blueprint(
        make_spec(
            method="unet3d_scratch",
            task="organmnist3d",
            preset="tiny",
            settings=("finetune.rotate_degrees=0,0,30",),
        )
    ).setup
    turned = torch.from_numpy(turn_matrix(setup.recipe, np.random.default_rng(1)))[None]
    batch = {
        "volume": torch.zeros(1, 1, 28, 28, 28, dtype=torch.uint8),
        "label": torch.zeros(1, dtype=torch.long),
        "turn": turned,
        **{name: torch.full((1, 1), value) for name, value in (("gain", 1.0), ("offset", 0.0), ("factor", 1.0))},
    }
    assert not torch.equal(turned[0], torch.eye(3, dtype=turned.dtype))
    assert torch.allclose(kind.prepare(setup)(batch)["volume"], torch.tensor(-1.0))
