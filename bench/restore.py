"""A stored cell back to what made it: its spec, its trained network, the command that makes it again."""

from __future__ import annotations

import shlex
from typing import Any

from torch import nn

from bench import registry
from bench.blueprint import Blueprint, blueprint
from bench.contracts.errors import DataMissing, StoreError
from bench.contracts.record import Cell
from bench.finetune import build_model
from bench.run import Place
from bench.spec import RunSpec
from bench.train.checkpoint import load_weights


def model_of(found: Cell, place: Place) -> tuple[Blueprint, Any, nn.Module]:
    """What a cell was set up as, its kind, and its trained network. Raises DataMissing or StoreError where that is gone."""
    spec = spec_of(found)
    plan = blueprint(spec)
    weights = place.folder("finetune", found.keys["finetune"]) / "model.safetensors"
    if not weights.exists():
        raise DataMissing(
            f"The model of this cell is not at {weights}.", case=found.name, remedy=make_again(found, place)
        )
    kind: Any = registry.kind(plan.setup.task.kind)
    model = build_model(plan.method, spec.method, plan.architecture, plan.setup, kind, plan.setup.recipe.seed)
    try:
        model.load_state_dict(load_weights(weights)[0])
    except RuntimeError as error:
        raise StoreError(
            f"The weights do not fit the network that this code builds for the cell ({str(error).splitlines()[-1].strip()}).",
            case=found.name,
            remedy="Check out the commit in the record, or make the model again in another folder: "
            f"{found.command} --results DIR",
        ) from error
    return plan, kind, model


def make_again(cell: Cell, place: Place) -> str:
    """How to train a stored cell's model again where it lay: `bench run` would only return the cell."""
    words = cell.command.replace("bench run", "bench finetune", 1)
    return f"Make it again: {words} --results {shlex.quote(str(place.results))}"


def spec_of(cell: Cell) -> RunSpec:
    """The spec that a cell's record holds. A folder of volumes that was told by its place alone stays one."""
    spec = dict(cell.provenance["spec"])
    spec["corpus"] = spec["corpus"] or ("folder" if cell.corpus == "folder" else "")
    return RunSpec(**{**spec, "settings": tuple(tuple(setting) for setting in spec["settings"])})
