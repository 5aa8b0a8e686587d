"""The only training loop of the project: any phase of any method, pre-training or fine-tuning, on any hardware.

A step is: the batch of that step number, one update per turn, the running average, `after_step`, and when they are due
a log line, an evaluation, a checkpoint, in this order. What a step does is a function of (key, step, weights): a
training killed anywhere and started again ends, on a CPU, with the same bits as one that was never disturbed.

Undefined losses or gradients leave an update out, as if the step had not been: weights, momenta, buffers and average
stay, only the step number goes on. The fourth such step in a row stops the training.

Longer than 250 lines because what happens to a step, from its batch to its checkpoint, is to be read in one place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.contracts.errors import StoreError
from bench.train import checkpoint, log, mishaps, ranks, schedule, seeds, standing
from bench.train.average import Average
from bench.train.evaluation import evaluating, is_better
from bench.train.hardware import Hardware, Machine, forget_peak, opened, peak_bytes
from bench.train.job import Job, Trained, account, demand_possible
from bench.train.loader import Drawn, batches
from bench.train.progress import Progress, Silent
from bench.train.standing import Standing
from bench.train.update import Outcome, Remembered, Update

__all__ = ["Hardware", "Job", "Trained", "train"]


def train(job: Job, hardware: Hardware = Hardware(), progress: Progress | None = None) -> Trained:  # noqa: B008 - frozen
    """Train, or go on where `job.folder` says; leaves the trained weights in `job.model`.

    Raises SpecError for settings that cannot be, StoreError for a checkpoint that is damaged or of another key,
    TrainingStopped when losses stay undefined or no batch fits into memory.
    """
    demand_possible(job, hardware)
    machine = opened(hardware, job.phase.config.precision)
    watcher = progress if progress is not None and machine.rank == 0 else Silent()
    return _Sitting(job, machine, watcher).run()


class _Sitting:
    """One stretch of a training in one process, from its start or its last checkpoint to its end or its death."""

    def __init__(self, job: Job, machine: Machine, watcher: Progress) -> None:
        self.job, self.machine, self.watcher, self.config = job, machine, watcher, job.phase.config
        self.is_first_rank = machine.rank == 0
        self.path, self.curve = job.folder / "checkpoint.pt", job.folder / "log.jsonl"
        machine.fabric.to_device(job.model)
        self.updates = [
            Update(
                turn,
                job.model,
                self.config,
                job.key,
                machine,
                job.prepare,
                job.groups(turn) if job.groups else None,
                job.begin_turn,
            )
            for turn in job.phase.turns
        ]
        self.average = Average(job.model, self.config.ema_decay, job.resting) if self.config.ema_decay > 0 else None
        self.looked = False  # whether what `after_step` changes was looked at
        self.now = self._begun()
        self.earlier_s, self.began_s = self.now.seconds, time.perf_counter()

    def run(self) -> Trained:
        resumed_from = self.now.step
        forget_peak(self.machine.device)
        self.watcher.start(self.job.phase.name, self.config.steps)
        try:
            self.watcher.advance(resumed_from)
            asked_s = time.perf_counter()
            for drawn in self._batches():
                loss = self._step(drawn, asked_s)
                self._due()
                self.watcher.advance(1, loss=loss)
                asked_s = time.perf_counter()
        finally:
            self.watcher.finish()
        return self._ended(resumed_from)

    def _batches(self) -> Iterator[Drawn]:
        return batches(
            self.job.phase,
            self.job.corpus,
            key=self.job.key,
            start=self.now.step,
            stop=self.config.steps,
            workers=self.config.workers,
            rank=self.machine.rank,
            world=self.machine.world,
            device=self.machine.device if self.machine.device.type == "cuda" else None,
        )

    def _begun(self) -> Standing:
        """The standing to go on from: the checkpoint's, with all states loaded, or the very start."""
        asked = self.config.micro_batch or math.ceil(self.config.batch_size / self.machine.world)
        if self.path.exists():
            state = checkpoint.load(self.path)
            standing.demand_own(state, key=self.job.key, phase=self.job.phase.name, path=self.path)
            found = self._restored(state)
            if found.asked_micro_batch != asked:  # the setting has changed since
                found = replace(found, micro_batch=asked, asked_micro_batch=asked)
        else:
            digest = checkpoint.sha256_of_weights(self.job.model)
            found = Standing(micro_batch=asked, asked_micro_batch=asked, initial_sha256=digest)
        if self.is_first_rank:
            self.job.folder.mkdir(parents=True, exist_ok=True)
            log.cut(self.curve, found.step)
        self.machine.fabric.barrier()
        return found

    def _restored(self, state: Any) -> Standing:
        try:
            self.job.model.load_state_dict(checkpoint.beside(self.job.model, state["model"], self.job.resting))
        except RuntimeError as error:
            raise StoreError(
                f"these weights do not fit the network built for the same key ({str(error).splitlines()[-1].strip()}).",
                case=str(self.path),
                remedy="The code has changed since: delete the file to begin anew.",
            ) from error
        for update, saved in zip(self.updates, state["optimisers"], strict=True):
            update.load(saved)
        if self.average is not None:
            self.average.load(state["average"])
        if self.machine.scaler is not None and state["scaler"]:
            self.machine.scaler.load_state_dict(state["scaler"])
        standing.restore_random(state["random"])
        found = standing.unpacked(state["standing"])
        return found if self.is_first_rank else found.without_sums()

    def _step(self, drawn: Drawn, asked_s: float) -> float:
        """All turns of one step; returns the total loss, NaN for a step left out."""
        factor = schedule.learning_rate(self.config, drawn.step)
        loss, squared_norm = 0.0, 0.0
        named: dict[str, Tensor] = {}
        kept: list[tuple[Update, Remembered]] = []
        before = buffers = self._buffers()
        for update in self.updates:
            buffers = self._buffers() if kept else before
            outcome = self._fitting(update, drawn, buffers)
            loss, squared_norm = loss + outcome.loss, squared_norm + outcome.grad_norm**2
            if not math.isfinite(outcome.loss + outcome.grad_norm):
                update.discard()
                for earlier, state in kept:
                    earlier.restore(state)
                mishaps.put_back(self.job.model, before)
                self._skip(drawn, outcome)
                loss = math.nan
                break
            if update is not self.updates[-1]:
                kept.append((update, update.remembered()))
            update.apply(factor)
            prefix = f"{update.turn.name}." if len(self.updates) > 1 else ""
            named |= {f"{prefix}{name}": value for name, value in (outcome.named or {}).items()}
        else:
            self._moved(drawn, loss, math.sqrt(squared_norm), named)
        self.now = self.now.advanced(self.config.batch_size, drawn.wait_s, time.perf_counter() - asked_s)
        return loss

    def _buffers(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.job.model.named_buffers()}

    def _fitting(self, update: Update, drawn: Drawn, buffers: dict[str, Tensor]) -> Outcome:
        """An attempt that fits into memory: the micro-batch is halved until one does."""
        while not (outcome := update.attempt(drawn.batch, drawn.step, self.now.micro_batch)).fits:
            mishaps.put_back(self.job.model, buffers)
            if self.machine.device.type == "cuda":
                torch.cuda.empty_cache()
            self.now = mishaps.halved(self.now, self.job.phase, self.machine.device, drawn.step + 1)
        return outcome

    def _moved(self, drawn: Drawn, loss: float, grad_norm: float, named: dict[str, Tensor]) -> None:
        """What follows an update: average, the method's own schedules, the sums for the log."""
        if self.machine.world > 1:
            ranks.share_buffers(self.job.model)
        if self.average is not None:
            self.average.update()
        seeds.reseed_all(self.job.key, drawn.step, "after_step")
        seen = None if self.looked else mishaps.plain_numbers(self.job.model)
        with torch.no_grad():
            self.job.after_step((drawn.step + 1) / self.config.steps)
        if seen is not None:  # once, for it costs a walk over all modules
            mishaps.demand_kept(seen, self.job.model)
            self.looked = True
        window = self.now.window.moved(loss, grad_norm, named)
        self.now = replace(self.now, window=window, skipped_in_a_row=0, overflows_in_a_row=0)

    def _skip(self, drawn: Drawn, outcome: Outcome) -> None:
        cases = list(dict.fromkeys(case for rank in ranks.gathered(drawn.cases, self.machine.world) for case in rank))
        self.now, record = mishaps.skipped(self.now, outcome.loss, scaled=self.machine.scaler is not None)
        self._write({"step": drawn.step + 1, **record, "cases": cases})
        mishaps.demand_hope(self.now, self.job.phase, drawn.step + 1, cases)

    def _due(self) -> None:
        """Log line, evaluation and checkpoint of the finished step, where they are due."""
        step = self.now.step
        last = step == self.config.steps
        self.now = replace(self.now, seconds=self.earlier_s + time.perf_counter() - self.began_s)
        if last or _every(self.config.log_every, step):
            rate = self.config.lr * schedule.learning_rate(self.config, step - 1)
            self._write(self.now.window.fetched(self.machine.world).line(step, rate, self.now.seconds))
            self.now = replace(self.now, window=log.Window())
        if self.job.evaluate is not None and (last or _every(self.job.evaluate_every, step)):
            self._evaluate(self.job.evaluate)
        if last or _every(self.config.checkpoint_every, step):
            self._save()

    def _evaluate(self, evaluate: Callable[[], float]) -> None:
        step = self.now.step
        with evaluating(self.job.model, self.average):
            seeds.reseed_all(self.job.key, step, "evaluate")
            score = float(self.machine.fabric.broadcast(float(evaluate())))
            if is_better(score, self.now.best_score):
                kept = self.job.model.state_dict() if self.job.keep_best else {}
                state = {name: value.detach().cpu().clone() for name, value in kept.items()}
                self.now = replace(self.now, best_step=step, best_score=score, best_state=state)
        self._write({"step": step, "evaluation": score})

    def _save(self) -> None:
        self.now = replace(
            self.now,
            window=self.now.window.fetched(self.machine.world),
            seconds=self.earlier_s + time.perf_counter() - self.began_s,
            peak_bytes=max(self.now.peak_bytes, peak_bytes(self.machine.device)),
        )
        if not self.is_first_rank:  # rank 0 holds the sum over all ranks from here on
            self.now = self.now.without_sums()
            return
        state = {
            "format": standing.FORMAT,
            "key": self.job.key,
            "phase": self.job.phase.name,
            "standing": standing.packed(self.now),
            "model": self.job.model.state_dict(),
            "optimisers": [update.optimiser.state_dict() for update in self.updates],
            "average": self.average.values if self.average is not None else None,
            "scaler": self.machine.scaler.state_dict() if self.machine.scaler is not None else None,
            "random": standing.random_states(),
        }
        checkpoint.save(self.path, state)

    def _write(self, record: dict[str, Any]) -> None:
        if self.is_first_rank:
            log.append(self.curve, record)

    def _ended(self, resumed_from: int) -> Trained:
        """Leave in the model the weights that count, and say what they are."""
        now, notes = self.now, self.now.notes
        if self.average is not None:
            self.average.settle()
        if self.job.keep_best and now.best_state:
            self.job.model.load_state_dict(now.best_state)
        elif self.job.keep_best:
            notes = (*notes, "no evaluation gave a number: the last weights are kept")
        self.machine.fabric.barrier()
        return account(now, self.config, self.job.model, self.machine.device, self.curve, resumed_from, notes)


def _every(interval: int, step: int) -> bool:
    return interval > 0 and step % interval == 0
