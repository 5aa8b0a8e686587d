"""MG-3D's VocabFine: both sentences of a finding guide the volume, and frozen towers leave the layers that fuse to learn (row
"CT-VocabFine" of its fidelity spec)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench import registry
from bench.contracts.configs import Inference
from bench.contracts.errors import EncoderMismatch
from bench.contracts.kind import Setup, make_setup
from bench.contracts.recipes import PromptRecipe
from bench.finetune import training_job
from bench.train.hardware import Hardware
from methods.mg3d import METHOD
from tasks.kinds import pairing, prompts
from tasks.kinds.fused_prompts import FusedNet
from tests.methods.test_mg3d_fused import encoder_of
from tests.methods.volumes_with_reports import Reported, made
from tests.tasks.test_pair_kinds import Both, learnt

TASK = registry.task("ctrate_prompts")
FINDINGS = ("emphysema", "lung-nodule", "consolidation")


class Answered(Reported):
    """The volumes with answers about three findings."""

    def fields(self, case: str) -> Mapping[str, Any]:
        told = "".join(self.reports[case].lower().split())
        return {**super().fields(case), "label": tuple(int(name.replace("lung-", "") in told) for name in FINDINGS)}

    def subset(self, cases: tuple[str, ...]) -> Answered:
        return self


def setup(**changes: Any) -> Setup:
    protocol = TASK.protocols["mg3d"]
    recipe = dataclasses.replace(protocol.recipe, kept_share=(1.0, 1.0, 1.0), **changes)  # type: ignore[call-arg]
    told = make_setup(
        dataclasses.replace(TASK, classes=FINDINGS), "", protocol, preset="tiny", recipe=recipe, inference=Inference(),
        multiple=(32, 32, 32),
    )  # fmt: skip
    return dataclasses.replace(told, sight=dataclasses.replace(told.sight, shape=METHOD.tiny.crop))


def net_of(task: Setup, method: Any = None) -> FusedNet:
    net = prompts.build_net(task, encoder_of(method or made()), "unetr", 0)
    assert isinstance(net, FusedNet)
    return net.eval()


@torch.no_grad()
def test_all_findings_at_once_are_what_the_methods_own_layers_give_finding_by_finding() -> None:
    task, method, corpus = setup(), made(), Answered()
    net = net_of(task, method)
    view, to_range = pairing.view_of(task), pairing.prepare(task)
    volumes = to_range({"volume": torch.from_numpy(np.stack([view.of(corpus, case) for case in corpus.cases]))})[
        "volume"
    ]
    found = net.likeness(net.tower(volumes), prompts.prompts(task))
    assert prompts.prompts(task)[:2] == ["Emphysema.", "not Emphysema."]
    for i, volume in enumerate(volumes):
        for k, name in enumerate(("Emphysema", "Lung nodule", "Consolidation")):
            said = []
            for text in (f"{name}.", f"not {name}."):
                rows = method.encoder.tokens.whole(text)
                read = method.encoder.read(
                    *(torch.from_numpy(rows[part])[None].long() for part in ("words", "sentence"))
                )
                assert int(read.sentence_shown.sum()) == 1
                said.append(read.sentences[0, 0])
            guides = torch.stack(said)[None]
            tokens = method.encoder.look(volume[None])
            both = [torch.ones(part.shape[:2], dtype=torch.bool) for part in (tokens, guides)]
            met = net.image_map(method.volume_stack(tokens, guides, *both)[0].reshape(1, -1))
            for j, text in enumerate((f"{name}.", f"not {name}.")):
                own = net.text_map(method.encoder.describe([text]))
                assert found[i, k, j].item() == pytest.approx(F.cosine_similarity(met, own)[0].item(), abs=1e-5)
    assert found.shape == (4, 3, 2) and found.std(0).min() > 1e-4  # volumes differ, for each sentence


def test_what_fuses_and_the_maps_learn_and_the_towers_stay(tmp_path: Any) -> None:
    task, corpus = setup(), Answered()
    net = net_of(task)
    job, notes = training_job(
        net, task, prompts, corpus, {"train": corpus.cases, "val": ()}, "k", tmp_path, Hardware(device="cpu")
    )  # type: ignore[arg-type]
    learns = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    stack = "encoder.informed_volume.stack."
    assert {name for name in learns if name.startswith("encoder.")} == {
        name for name in learns if name.startswith(stack)
    }
    assert {f"{stack}first_norm.weight", "image_map.weight", "text_map.weight", "log_scale"} <= learns
    assert net.images.shape == (4, 2, METHOD.tiny.width)  # each volume was looked at once: its tokens are kept
    (own,) = {part.training for part in net.encoder.fusing()}
    assert own and not net.encoder.vision.training
    before = {name: value.clone() for name, value in net.named_parameters()}
    batch = {"place": torch.arange(4), "answers": torch.tensor([corpus.fields(c)["label"] for c in corpus.cases])}
    (loss,) = job.phase.turns[0].loss(batch).values()
    loss.backward()
    assert all(parameter.grad is not None for name, parameter in net.named_parameters() if name in learns)
    torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1).step()
    moved = {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}
    assert moved <= learns and {n for n in moved if n.startswith(stack)} and "image_map.weight" in moved
    assert any("free to learn" in note for note in notes) and any(
        "guide the volume" in note for note in prompts.told(net)
    )


def test_the_answers_of_training_volumes_are_learnt() -> None:
    task = setup()
    curve = learnt(prompts, task, net_of(task), Answered(), steps=40, lr=3e-3)  # type: ignore[arg-type]
    assert curve[-1] < 0.2 * curve[0]


def test_only_the_papers_protocol_fuses_and_only_where_an_encoder_does() -> None:
    recipes = {name: protocol.recipe for name, protocol in TASK.protocols.items()}
    assert {name for name, r in recipes.items() if isinstance(r, PromptRecipe) and r.fused} == {"mg3d"}
    assert not isinstance(prompts.build_net(setup(), Both(), "unetr", 0), FusedNet)
    without = made(terms=("mim", "mlm", "sfr"))
    assert not isinstance(prompts.build_net(setup(), encoder_of(without), "unetr", 0), FusedNet)
    assert not isinstance(prompts.build_net(setup(fused=False), encoder_of(made()), "unetr", 0), FusedNet)
    bare = dataclasses.replace(setup(), target="zero_shot")
    assert not isinstance(prompts.build_net(bare, encoder_of(made()), "unetr", 0), FusedNet)


def test_weights_that_bring_no_fusion_are_refused_with_what_to_do() -> None:
    task, method = setup(), made()
    net = net_of(task, method)
    held = {
        name: t.clone() for name, t in method.encoder.state_dict().items() if not name.startswith("informed_volume.")
    }
    net.encoder.adopt(held)
    with pytest.raises(EncoderMismatch, match="no layers that fuse") as caught:
        prompts.fit(task, net, Answered())
    assert "finetune.fused=false" in caught.value.remedy


class Reader(torch.nn.Module):
    """A text tower of another width than the fusion's."""

    width = 7

    def describe(self, texts: list[str]) -> torch.Tensor:
        return torch.stack([torch.linspace(0, len(text), self.width) for text in texts])


def test_a_text_tower_of_another_width_guides_through_a_map() -> None:
    task, encoder = setup(), encoder_of(made())
    net = FusedNet(encoder, learnt=True, log_scale=1.0, reader=Reader(), shown=(1, *task.sight.shape))  # type: ignore[arg-type]
    assert net.guide_map.weight.shape == (METHOD.tiny.width, 7)
    found = net.likeness(torch.randn(2, 2, METHOD.tiny.width), prompts.prompts(task))
    found.sum().backward()
    assert found.shape == (2, 3, 2) and net.guide_map.weight.grad is not None
