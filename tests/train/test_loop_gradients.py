"""What an update does: the mean over the effective batch, whoever computes which part of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn

from bench.contracts.errors import PluginBroken, SpecError, TrainingStopped
from bench.contracts.method import Batch, Losses, Turn
from bench.train import checkpoint, schedule
from bench.train.hardware import Machine
from bench.train.job import demand_possible
from bench.train.loop import Hardware, train
from bench.train.optimisers import built
from tests.train.toys import CPU, SETTINGS, Toy, job, lines, phase, trained, weights


def largest_difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 5, 6, 100])
def test_micro_batches_of_any_size_give_the_gradient_of_the_whole_batch(tmp_path: Path, micro_batch: int) -> None:
    whole, parts = Toy(noisy=False), Toy(noisy=False)
    for model in (whole, parts):
        model.after_step = lambda progress: None  # type: ignore[method-assign]
    trained(tmp_path / "whole", whole)
    found = trained(tmp_path / "parts", parts, replace(SETTINGS, micro_batch=micro_batch))
    assert found.effective_batch == 6
    assert found.micro_batch == micro_batch
    assert largest_difference(whole, parts) < 1e-6
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "parts"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["loss"] == pytest.approx(one["rebuild"] + one["follow"], rel=1e-6)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("summed", [1, 4])
def test_one_step_of_sgd_equals_its_equation_written_out(summed: int, tmp_path: Path) -> None:
    config = replace(SETTINGS, steps=1, optimiser="sgd", warmup_steps=0, grad_clip=0.05, weight_decay=0.0)
    config = replace(config, summed_passes=summed)
    model, by_hand = Toy(noisy=False), Toy(noisy=False)
    batches: list[Batch] = []

    def prepare(batch: Batch) -> Batch:
        batches.append({name: value.clone() for name, value in batch.items()})
        return model.prepare(batch)

    trained(tmp_path, model, config, prepare=prepare)
    loss = sum(by_hand.loss(by_hand.prepare(batches[0])).values(), start=torch.zeros(()))
    loss.backward()
    grads = {name: p.grad * summed for name, p in by_hand.named_parameters() if p.grad is not None}
    norm = torch.sqrt(sum(((grad**2).sum() for grad in grads.values()), start=torch.zeros(())))
    assert norm > 0.05
    for name, parameter in by_hand.named_parameters():
        if name in grads:
            stepped = parameter - config.lr * grads[name] * 0.05 / (norm + 1e-6)
            assert torch.allclose(model.get_parameter(name), stepped, atol=1e-7)
    assert lines(tmp_path)[0]["grad_norm"] == pytest.approx(float(norm), rel=1e-5)
    assert lines(tmp_path)[0]["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)


class Pair(nn.Module):
    """A generator and a discriminator of one number each, so that a step can be recounted."""

    def __init__(self) -> None:
        super().__init__()
        self.made = nn.Parameter(torch.tensor([1.0]))
        self.judge = nn.Parameter(torch.tensor([2.0]))
        self.seen: list[tuple[str, Tensor]] = []

    def making(self, batch: Batch) -> Losses:
        self.seen.append(("making", batch["volume"].sum()))
        return {"adversarial": (self.made * self.judge).sum()}

    def judging(self, batch: Batch) -> Losses:
        self.seen.append(("judging", batch["volume"].sum()))
        return {"adversarial": (-self.made * self.judge).sum()}


def test_each_turn_moves_its_own_parameters_over_the_same_batch_one_after_the_other(tmp_path: Path) -> None:
    model, toy = Pair(), Toy()
    config = replace(
        SETTINGS, steps=1, optimiser="sgd", betas=(0.0, 0.9), warmup_steps=0, lr=0.1, grad_clip=0.0, micro_batch=3
    )
    turns = (
        Turn("make", model.making, lambda: [model.made]),
        Turn("judge", model.judging, lambda: [model.judge]),
    )
    made = replace(job(tmp_path, toy, config), model=model, phase=phase(config, toy, turns=turns))
    train(replace(made, after_step=lambda progress: None), CPU)
    # make: 1 - 0.1 * 2 = 0.8; judge then sees 0.8: 2 + 0.1 * 0.8 = 2.08
    assert model.made.item() == pytest.approx(0.8)
    assert model.judge.item() == pytest.approx(2.08)
    assert [name for name, _ in model.seen] == ["making", "making", "judging", "judging"]
    assert [s for n, s in model.seen if n == "making"] == [s for n, s in model.seen if n == "judging"]
    line = lines(tmp_path)[0]
    assert line["make.adversarial"] == pytest.approx(2.0)
    assert line["judge.adversarial"] == pytest.approx(-1.6)
    assert line["loss"] == pytest.approx(2.0 - 1.6)
    assert line["grad_norm"] == pytest.approx((2.0**2 + 0.8**2) ** 0.5)
    assert model.made.requires_grad
    assert model.judge.requires_grad


def test_every_attempt_at_a_turns_losses_is_announced_once_more_where_memory_ran_short(tmp_path: Path) -> None:
    model, begun = Toy(), list[str]()
    turns = (
        Turn("make", Memory(model, 3), model.body.parameters),
        Turn("judge", model.loss, model.head.parameters),
    )
    config = replace(SETTINGS, steps=2)
    trained(tmp_path, model, config, phase=phase(config, model, turns=turns), begin_turn=begun.append)
    assert begun == ["make", "make", "judge", "make", "judge"]


def test_a_frozen_encoder_is_not_moved_and_keeps_its_mode(tmp_path: Path) -> None:
    model = Toy()
    model.body.requires_grad_(False).eval()
    before = weights(model)
    modes: list[bool] = []

    def groups(turn: Turn) -> list[schedule.Group]:
        return schedule.layer_groups([model.body, model.head], model, SETTINGS, 0.5)

    trained(
        tmp_path,
        model,
        after_step=lambda progress: modes.append(model.body.training or not model.head.training),
        groups=groups,
        evaluate=model.score,
        evaluate_every=3,
    )
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias", "seen"}
    assert modes == [False] * 12


def test_layer_decay_reaches_the_optimiser(tmp_path: Path) -> None:
    model = Toy(noisy=False)
    config = replace(SETTINGS, steps=1, warmup_steps=0, weight_decay=0.0, grad_clip=0.0)
    before = weights(model)
    trained(
        tmp_path,
        model,
        config,
        groups=lambda turn: schedule.layer_groups([model.body, model.head], model, config, 0.5),
    )
    after = weights(model)
    # the first step of Adam moves each parameter by its own learning rate
    assert float((after["head.weight"] - before["head.weight"]).abs().max()) == pytest.approx(1e-2, rel=1e-3)
    assert float((after["body.0.weight"] - before["body.0.weight"]).abs().max()) == pytest.approx(5e-3, rel=1e-3)


def test_every_update_takes_the_schedules_share_of_each_groups_own_rate(tmp_path: Path) -> None:
    """The log tells the schedule's rate, whatever the optimiser took: slopes of 1 without momentum show what it took."""
    model, toy, after = Pair(), Toy(), list[tuple[float, float]]()
    config = replace(SETTINGS, steps=4, warmup_steps=2, optimiser="sgd", betas=(0.0, 0.9), grad_clip=0.0)
    turns = (Turn("all", lambda batch: {"sum": (model.made + model.judge).sum()}),)
    made = replace(job(tmp_path, toy, config), model=model, phase=phase(config, toy, turns=turns))
    rates = ((model.made, 0.1), (model.judge, 0.02))
    train(
        replace(
            made,
            groups=lambda turn: [{"params": [one], "lr": rate, "weight_decay": 0.0} for one, rate in rates],
            after_step=lambda progress: after.append((model.made.item(), model.judge.item())),
        ),
        CPU,
    )
    shares = [0.5, 1.5, 2.5, 3.0]  # 0.5, 1, 1, 0.5 summed up
    assert [made for made, _ in after] == pytest.approx([1 - 0.1 * share for share in shares])
    assert [judge for _, judge in after] == pytest.approx([2 - 0.02 * share for share in shares])


def test_a_step_left_out_takes_its_share_of_the_schedule_with_it(tmp_path: Path) -> None:
    """Else a training with steps left out would end above the rate of zero, and the log tell rates that were not taken."""
    model, toy, calls = Pair(), Toy(), iter(range(4))
    config = replace(SETTINGS, steps=4, warmup_steps=2, optimiser="sgd", betas=(0.0, 0.9), grad_clip=0.0, lr=0.1)
    config = replace(config, weight_decay=0.0)
    turns = (Turn("all", lambda batch: {"sum": model.made.sum() * (math.nan if next(calls) == 1 else 1.0)}),)
    made = replace(job(tmp_path, toy, config), model=model, phase=phase(config, toy, turns=turns))
    assert train(replace(made, after_step=lambda progress: None), CPU).skipped_steps == 1
    assert model.made.item() == pytest.approx(1 - 0.1 * (0.5 + 1.0 + 0.5))  # of 0.5, 1, 1, 0.5 without the second


def test_adam_takes_the_clipped_gradients_into_its_momenta(tmp_path: Path) -> None:
    """Its first step is the same at any length of the gradient; what a step of a long one leaves behind is not."""
    model, toy, slopes = Pair(), Toy(), iter([10.0, 0.5, 0.5])
    config = replace(SETTINGS, steps=3, warmup_steps=0, schedule="constant", grad_clip=1.0)
    turns = (Turn("all", lambda batch: {"slope": next(slopes) * model.made.sum()}),)
    made = replace(job(tmp_path, toy, config), model=model, phase=phase(config, toy, turns=turns))
    train(replace(made, after_step=lambda progress: None), CPU)
    by_hand = nn.Parameter(torch.tensor([1.0]))
    adam = torch.optim.AdamW([by_hand], config.lr, config.betas, weight_decay=0.0)
    for slope in (1.0, 0.5, 0.5):
        by_hand.grad = torch.tensor([slope])
        adam.step()
    assert model.made.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_an_optimiser_has_the_momenta_and_the_decay_of_the_settings() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    config = replace(SETTINGS, betas=(0.8, 0.98), weight_decay=0.3, lr=0.1)
    adam, sgd = (
        built([{"params": [weight]}], replace(config, optimiser=name), torch.device("cpu")) for name in ("adamw", "sgd")
    )
    assert (adam.defaults["betas"], adam.defaults["weight_decay"], adam.defaults["lr"]) == ((0.8, 0.98), 0.3, 0.1)
    assert (sgd.defaults["momentum"], sgd.defaults["weight_decay"], sgd.defaults["lr"]) == (0.8, 0.3, 0.1)


def test_a_turns_rates_by_name_reach_the_optimiser(tmp_path: Path) -> None:
    model = Toy(noisy=False)
    config = replace(SETTINGS, steps=1, warmup_steps=0, weight_decay=0.0, grad_clip=0.0)
    before = weights(model)
    turns = (Turn("all", model.loss, rates={"body.": 0.2}),)
    trained(tmp_path, model, config, phase=phase(config, model, turns=turns))
    after = weights(model)
    # the first step of Adam moves each parameter by its own learning rate
    assert float((after["head.weight"] - before["head.weight"]).abs().max()) == pytest.approx(1e-2, rel=1e-3)
    assert float((after["body.0.weight"] - before["body.0.weight"]).abs().max()) == pytest.approx(2e-3, rel=1e-3)


def test_a_batch_that_is_prepared_in_place_comes_to_the_next_turn_as_it_was(tmp_path: Path) -> None:
    model, sums = Toy(noisy=False), list[float]()

    def prepare(batch: Batch) -> Batch:
        sums.append(float(batch["noise"].double().sum()))
        batch["noise"].mul_(3)
        return model.prepare(batch)

    turns = (Turn("make", model.loss, model.body.parameters), Turn("judge", model.loss, model.head.parameters))
    config = replace(SETTINGS, steps=1, micro_batch=3)
    trained(tmp_path, model, config, phase=phase(config, model, turns=turns), prepare=prepare)
    assert sums[:2] == sums[2:] and len(sums) == 4


def test_the_running_average_follows_its_equation_over_what_the_updates_left(tmp_path: Path) -> None:
    model, history = Toy(), []

    def after_step(progress: float) -> None:
        history.append(weights(model))
        model.head.weight.mul_(0.9)

    start = weights(model)
    config = replace(SETTINGS, steps=3, ema_decay=0.7)
    trained(tmp_path, model, config, after_step=after_step)
    expected = start["head.weight"]
    for moment in history:
        expected = 0.7 * expected + 0.3 * moment["head.weight"]
    assert torch.allclose(model.head.weight, expected, atol=1e-6)
    assert not torch.allclose(model.head.weight, history[-1]["head.weight"], atol=1e-4)


def test_bf16_trains_in_mixed_arithmetic_with_fp32_weights(tmp_path: Path) -> None:
    model = Toy()
    kinds: list[torch.dtype] = []

    def loss(batch: Batch) -> Losses:
        kinds.append(model.body(batch["volume"].flatten(1)).dtype)
        return model.loss(batch)

    config = replace(SETTINGS, precision="bf16", steps=2)
    found = trained(tmp_path, model, config, phase=phase(config, model, turns=(Turn("all", loss),)))
    assert found.precision == "bf16"
    assert set(kinds) <= {torch.bfloat16, torch.float32}
    assert model.head.weight.dtype == torch.float32
    exact = Toy()
    trained(tmp_path / "exact", exact, replace(config, precision="fp32"))
    assert 0.0 < largest_difference(model, exact) < 0.1


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA fp16 is possible")
def test_fp16_without_cuda_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--set precision=bf16"):
        trained(tmp_path, config=replace(SETTINGS, precision="fp16"))


def test_compile_is_a_switch_around_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def stand_in(function: object) -> object:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", stand_in)
    model = Toy()
    trained(tmp_path / "eager", config=replace(SETTINGS, steps=1))
    assert compiled == []
    trained(tmp_path / "compiled", model, config=replace(SETTINGS, steps=1, compile=True))
    assert compiled == [model.loss]


def test_a_machine_without_a_compiler_is_told_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "nothing compiled"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "no-g++")))
    with pytest.raises(TrainingStopped, match=r"could not be compiled \(.*no-g\+\+.*--set compile=false"):
        trained(tmp_path, config=replace(SETTINGS, steps=1, compile=True))


class Memory:
    """A loss that runs out of memory above `room` samples, after it has drawn random numbers and moved a buffer."""

    def __init__(self, model: Toy, room: int, first_step: int = 0) -> None:
        self.model, self.room, self.calls, self.first = model, room, 0, first_step
        self.sizes: list[int] = []

    def __call__(self, batch: Batch) -> Losses:
        losses = self.model.loss(batch)
        self.sizes.append(len(batch["volume"]))
        if len(batch["volume"]) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return losses


def test_out_of_memory_halves_the_micro_batch_and_keeps_batch_and_randomness(tmp_path: Path) -> None:
    asked, forced = Toy(), Toy()
    config = replace(SETTINGS, batch_size=8)
    trained(tmp_path / "asked", asked, replace(config, micro_batch=2))
    memory = Memory(forced, room=2)
    found = trained(tmp_path / "forced", forced, config, phase=phase(config, forced, turns=(Turn("all", memory),)))
    assert memory.sizes[:6] == [8, 4, 2, 2, 2, 2]
    assert set(memory.sizes[6:]) == {2}
    assert found.micro_batch == 2
    assert found.effective_batch == 8
    assert found.notes == (
        "out of memory at step 1: micro-batch halved from 8 to 4",
        "out of memory at step 1: micro-batch halved from 4 to 2",
    )
    assert all(torch.equal(weights(asked)[name], value) for name, value in weights(forced).items())


def test_memory_that_runs_short_in_the_second_turn_leaves_what_the_first_did_to_the_buffers(tmp_path: Path) -> None:
    model = Toy(noisy=False)
    model.eval()  # its own buffer rests

    def counting(one: float, room: int) -> Callable[[Batch], Losses]:
        def loss(batch: Batch) -> Losses:
            model.seen.add_(one)
            if len(batch["volume"]) > room:
                raise torch.cuda.OutOfMemoryError
            return model.loss(batch)

        return loss

    turns = (
        Turn("make", counting(1.0, 6), model.body.parameters),
        Turn("judge", counting(10.0, 3), model.head.parameters),
    )
    config = replace(SETTINGS, steps=1)
    trained(tmp_path, model, config, phase=phase(config, model, turns=turns))
    assert model.seen.unique().tolist() == [21.0]  # one whole batch, then two halves


def test_a_halved_micro_batch_survives_a_restart_until_the_setting_changes(tmp_path: Path) -> None:
    config = replace(SETTINGS, batch_size=8)
    model = Toy()
    made = job(tmp_path, model, config, phase=phase(config, model, turns=(Turn("all", Memory(model, 3)),)))

    def stop(progress: float) -> None:
        if progress > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(made, after_step=stop), CPU)
    found = train(made, CPU)
    assert found.resumed_from == 4
    assert found.micro_batch == 2
    assert len(found.notes) == 2
    assert trained(tmp_path, Toy(), replace(config, micro_batch=3)).micro_batch == 3


def test_a_batch_that_may_not_be_split_stops_and_tells_what_to_set(tmp_path: Path) -> None:
    model = Toy()
    turns = (Turn("all", Memory(model, 2)),)
    with pytest.raises(TrainingStopped, match=r"a batch of 6 .*--set batch_size=N"):
        trained(tmp_path, model, phase=phase(SETTINGS, model, turns=turns, splits_batch=False))
    with pytest.raises(TrainingStopped, match="not even one sample"):
        trained(tmp_path, model, phase=phase(SETTINGS, model, turns=(Turn("all", Memory(model, 0)),)))


def test_a_loss_over_the_whole_batch_refuses_micro_batches_and_devices(tmp_path: Path) -> None:
    config = replace(SETTINGS, micro_batch=2)
    made = job(tmp_path, config=config)
    whole = replace(made, phase=replace(made.phase, splits_batch=False))
    with pytest.raises(SpecError, match="micro_batch=0"):
        train(whole, CPU)
    with pytest.raises(SpecError, match="split over 2 devices"):
        train(replace(whole, phase=replace(whole.phase, config=SETTINGS)), Hardware("cpu", devices=2))


def test_a_loss_that_gathers_may_be_shared_by_devices_in_whole_parts(tmp_path: Path) -> None:
    made = job(tmp_path, config=replace(SETTINGS, micro_batch=3))
    shared = replace(made, phase=replace(made.phase, splits_batch=False, gathers=True))
    demand_possible(shared, Hardware("cpu", devices=2))
    with pytest.raises(SpecError, match="micro_batch=0"):
        demand_possible(shared, Hardware("cpu"))
    with pytest.raises(SpecError, match="micro-batches of 3"):
        demand_possible(replace(shared, phase=replace(shared.phase, gathers=False)), Hardware("cpu", devices=2))


def strangers() -> Iterable[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


def test_impossible_settings_and_jobs_are_refused_in_words(tmp_path: Path) -> None:
    model = Toy()
    with pytest.raises(SpecError, match="Did you mean 'adamw'"):
        trained(tmp_path, config=replace(SETTINGS, optimiser="adam"))
    with pytest.raises(SpecError, match="No precision 'fp8'"):
        trained(tmp_path, config=replace(SETTINGS, precision="fp8"))
    with pytest.raises(SpecError, match="at least one step"):
        trained(tmp_path, config=replace(SETTINGS, steps=0))
    with pytest.raises(SpecError, match="12 steps of 2 samples on 3 devices"):
        demand_possible(job(tmp_path, config=replace(SETTINGS, batch_size=2)), Hardware("cpu", devices=3))
    with pytest.raises(SpecError, match="No device 'tpu'"):
        train(job(tmp_path), Hardware("tpu"))
    with pytest.raises(SpecError, match="No strategy 'fsdp'"):
        train(job(tmp_path), Hardware("cpu", strategy="fsdp"))
    with pytest.raises(PluginBroken, match="no turn"):
        trained(tmp_path, model, phase=phase(SETTINGS, model, turns=()))
    with pytest.raises(PluginBroken, match="evaluate"):
        trained(tmp_path, keep_best=True)
    groups = [{"params": list(strangers())}]
    with pytest.raises(PluginBroken, match="not the model's"):
        trained(tmp_path, model, groups=lambda turn: groups)
    with pytest.raises(PluginBroken, match="no parameter"):
        trained(tmp_path, model, phase=phase(SETTINGS, model, turns=(Turn("all", model.loss, strangers),)))
    with pytest.raises(PluginBroken, match="asked for a scalar"):
        trained(tmp_path, phase=phase(SETTINGS, model, turns=(Turn("all", lambda b: {"x": b["noise"]}),)))
    with pytest.raises(PluginBroken, match="loss of turn 'all' returns Tensor, asked for a dict of named tensors"):
        trained(tmp_path, phase=phase(SETTINGS, model, turns=(Turn("all", lambda b: model.loss(b)["rebuild"]),)))  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginBroken, match=r"returns \{'x': 'float'\}, asked for"):
        trained(tmp_path, phase=phase(SETTINGS, model, turns=(Turn("all", lambda b: {"x": 0.5}),)))  # type: ignore[arg-type, dict-item]
    with pytest.raises(PluginBroken, match="do not depend"):
        trained(tmp_path, phase=phase(SETTINGS, model, turns=(Turn("all", lambda b: {"x": b["noise"].sum()}),)))


def with_scaler(monkeypatch: pytest.MonkeyPatch, initial: float) -> torch.amp.GradScaler:
    """Let trainings run in fp16 with a scaler on the CPU, as they do on CUDA only; the arithmetic is the same."""
    scaler = torch.amp.GradScaler("cpu", init_scale=initial, growth_interval=1000)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))
    monkeypatch.setattr("bench.train.loop.opened", lambda hardware, precision: Machine(fabric, scaler))
    return scaler


def test_the_fp16_scale_is_lowered_until_gradients_fit_and_stays_out_of_norm_and_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, scaled = Toy(noisy=False), Toy(noisy=False)
    config = replace(SETTINGS, optimiser="sgd", log_every=1, precision="fp16", warmup_steps=0)
    trained(tmp_path / "exact", exact, replace(config, precision="fp32", steps=8))
    scaler = with_scaler(monkeypatch, 2.0**19)
    found = trained(tmp_path / "scaled", scaled, config)
    records = [line for line in lines(tmp_path / "scaled") if "skipped" in line]
    assert found.skipped_steps == len(records) > 3  # more than undefined losses may have in a row
    assert {record["skipped"] for record in records} == {"gradients"}
    assert scaler.get_scale() == 2.0 ** (19 - len(records))
    standing = checkpoint.load(tmp_path / "scaled" / "checkpoint.pt")["standing"]
    assert standing["overflows_in_a_row"] == 0  # the updates have parted them, as in any long training
    first = next(line for line in lines(tmp_path / "scaled") if line.get("grad_norm"))
    assert first["step"] == len(records) + 1
    same_step = next(line for line in lines(tmp_path / "exact") if line["step"] == first["step"])
    assert 0.2 < first["grad_norm"] / same_step["grad_norm"] < 5.0
    # clipped to 1, so a step moves the weights by lr at most: the scale is in neither
    assert 0.0 < largest_difference(exact, scaled) < 12 * config.lr


def test_gradients_that_no_fp16_scale_brings_into_range_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would go on to its end without an update, and its first weights be judged."""
    model, config = Toy(), replace(SETTINGS, steps=40, precision="fp16")
    with_scaler(monkeypatch, 2.0**16)
    slope = Turn("all", lambda batch: {"root": (model.head.weight - model.head.weight.detach()).abs().sqrt().sum()})
    with pytest.raises(TrainingStopped, match=r"in 31 steps in a row, up to step 31\. Cases of the last batch: case_"):
        trained(tmp_path, model, config, phase=phase(config, model, turns=(slope,)))


def test_the_fp16_scale_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(SETTINGS, precision="fp16")
    with_scaler(monkeypatch, 2.0**19)
    whole = trained(tmp_path / "whole", config=config)
    stopped = Toy()

    def stop(progress: float) -> None:
        stopped.after_step(progress)
        if progress > 0.7:
            raise KeyboardInterrupt

    with_scaler(monkeypatch, 2.0**19)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", stopped, config, after_step=stop)
    scaler = with_scaler(monkeypatch, 2.0**19)
    parts = trained(tmp_path / "parts", config=config)
    assert parts.resumed_from == 8
    assert parts.final_sha256 == whole.final_sha256
    assert parts.skipped_steps == whole.skipped_steps > 0
    assert scaler.get_scale() == 2.0 ** (19 - parts.skipped_steps)


def test_every_step_micro_batch_and_turn_draws_numbers_of_its_own_but_both_turns_are_prepared_alike(
    tmp_path: Path,
) -> None:
    """Both turns of a step see the same batch, and so the same numbers of `prepare`; their losses see different ones."""
    model, prepared, lost = Toy(), list[Tensor](), list[Tensor]()

    def prepare(batch: Batch) -> Batch:
        prepared.append(torch.rand(3))
        return model.prepare(batch)

    def loss(batch: Batch) -> Losses:
        lost.append(torch.rand(3))
        return model.loss(batch)

    turns = (Turn("make", loss, model.body.parameters), Turn("judge", loss, model.head.parameters))
    config = replace(SETTINGS, steps=2, micro_batch=3)
    trained(tmp_path, model, config, phase=phase(config, model, turns=turns), prepare=prepare)
    first, second = ([tuple(x.tolist()) for x in drawn] for drawn in (prepared, lost))
    assert len(first) == len(second) == 2 * 2 * 2
    assert first[:2] == first[2:4] and first[4:6] == first[6:] and len(set(first)) == 4
    assert len(set(second)) == 8 and not set(first) & set(second)


def test_random_numbers_of_a_loss_do_not_depend_on_what_was_drawn_before_it(tmp_path: Path) -> None:
    def drawn(folder: Path, extra: int) -> list[Tensor]:
        model, seen = Toy(), []

        def prepare(batch: Batch) -> Batch:
            torch.rand(extra)
            return model.prepare(batch)

        def loss(batch: Batch) -> Losses:
            seen.append(torch.rand(3))
            return model.loss(batch) if extra == 0 else {"other": (model.head.weight * torch.rand(8, 16)).sum()}

        def after_step(progress: float) -> None:
            seen.append(torch.rand(3))

        config = replace(SETTINGS, steps=2, micro_batch=3)
        turns = (Turn("all", loss),)
        trained(folder, model, config, phase=phase(config, model, turns=turns), prepare=prepare, after_step=after_step)
        return seen

    one, other = drawn(tmp_path / "one", 0), drawn(tmp_path / "other", 7)
    assert len(one) == 6  # two micro-batches and one after_step in each of two steps
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
    assert len({tuple(numbers.tolist()) for numbers in one}) == 6
