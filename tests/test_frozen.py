"""Linear probes and LoRA from end to end: what pre-training brings stays bit for bit, what it does not bring learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bench import registry, run
from bench.chain import Chain, frozen_part
from bench.contracts.configs import FineTuneConfig
from bench.contracts.method import Encoder
from bench.contracts.recipes import PromptRecipe
from bench.finetune import adopt_weights, build_model, trained, training_job
from bench.replay import FINAL, INITIAL, LOG
from bench.run import Place, resolve_at
from bench.spec import make_spec
from bench.train.checkpoint import load_weights
from bench.train.hardware import Hardware
from bench.train.loop import train
from tests.command_line import bench

SHORT = ("finetune.steps=2", "finetune.evaluate_every=2", "finetune.weight_decay=0.1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place.at(tmp_path_factory.mktemp("frozen") / "results", environ={}, hardware=Hardware(device="cpu"))


def spec_of(method: str, corpus: str, *settings: str) -> Any:
    words = {"task": "msd04", "preset": "tiny", "ratio": 0.25, "phantom": True, "corpus": corpus}
    return make_spec(method=method, settings=(*SHORT, *settings), **words)


def start(chain: Chain) -> nn.Module:
    """The network of a run as it is built."""
    plan, kind = chain.blueprint, registry.kind("segmentation")
    return build_model(
        plan.method, chain.words.spec.method, plan.architecture, plan.setup, kind, plan.setup.recipe.seed
    )


def of_encoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}


@pytest.mark.parametrize("head", [(), ("finetune.linear_head=true",)], ids=["decoder", "linear"])
@pytest.mark.parametrize("method", ["mim", "spad"])
def test_a_probe_of_masks_moves_every_tensor_that_pre_training_does_not_bring_and_no_other(
    method: str, head: tuple[str, ...], place: Place
) -> None:
    chain = resolve_at(spec_of(method, "none", "finetune.frozen_encoder=true", *head), place)
    model = start(chain)
    assert isinstance(model.encoder, Encoder)
    before, brought = {n: t.clone() for n, t in model.encoder.state_dict().items()}, model.encoder.declared()
    path = run.finetune(chain, place, run.task_volumes(chain, place), None)
    after = of_encoder(load_weights(path)[0])
    assert set(after) == set(before) > brought
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(before) - brought
    (note,) = trained(path.parent)["notes"]
    parameters = {name for name, _ in model.encoder.named_parameters()}
    assert note.startswith(f"frozen: {len(parameters & brought)} tensors of the encoder")
    assert f"free to learn: {len(parameters - brought)} " in note


def test_lora_leaves_the_base_alone_and_its_merged_weights_are_a_plain_model_that_replays(
    place: Place, tmp_path: Path
) -> None:
    spec = spec_of("mim@lora_r4", "own", "pretrain.steps=1", "log_every=1")
    chain = resolve_at(spec, place)
    weights, cases = run.pretrain(chain, place), run.task_volumes(chain, place)
    adapted, here = start(chain), chain.words.cases
    assert weights is not None
    adopt_weights(adapted, weights, foreign=False)
    assert isinstance(adapted.encoder, Encoder)
    before, brought = {n: t.clone() for n, t in adapted.encoder.state_dict().items()}, adapted.encoder.declared()
    parts = {"train": here.train, "val": here.here.val}
    key, kind = chain.keys["finetune"], registry.kind("segmentation")
    job, _ = training_job(adapted, chain.blueprint.setup, kind, cases, parts, key, tmp_path, place.hardware)
    train(job, place.hardware)
    base = {
        name.replace("parametrizations.weight.original", "weight"): value
        for name, value in adapted.encoder.state_dict().items()
    }
    assert all(torch.equal(base[name], before[name]) for name in brought)
    changes = [part for part in adapted.encoder.modules() if parametrize.is_parametrized(part)]
    assert changes and all(bool(part.parametrizations.weight[0].up.any()) for part in changes)

    cell = run.run(spec, place)
    assert cell is not None and sum("LoRA of rank 4" in told or "frozen: " in told for told in cell.differs) == 2
    plain = start(chain)
    plain.load_state_dict(load_weights(place.folder("finetune", key) / "model.safetensors")[0])
    volume = torch.randn(1, 1, *chain.blueprint.setup.sight.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(volume), adapted.eval()(volume), atol=1e-5, rtol=0)

    answer = bench("verify", cell.name, "--results", place.results, "--replay", "9", "--json")
    found = {check["name"]: check["verdict"] for check in json.loads(answer.out)["checks"]}
    assert {found[name] for name in (INITIAL, LOG, FINAL, "finetune:final", "predictions")} == {"ok"}


def test_a_key_says_that_an_encoder_is_frozen_in_part_and_all_others_are_as_they_were() -> None:
    assert not frozen_part(FineTuneConfig()) and not frozen_part(PromptRecipe())
    assert frozen_part(FineTuneConfig(frozen_encoder=True)) == frozen_part(FineTuneConfig(lora_rank=4))
    assert frozen_part(PromptRecipe(lora_rank=4))
