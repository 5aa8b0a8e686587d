"""Commands that run one room: pretrain, finetune, predict."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as o
from bench.cli.place import place_of
from bench.contracts.counts import how_many


def attach(app: typer.Typer) -> None:
    app.command("pretrain", help="Pre-train only.\n\nExample:  bench pretrain --method mim --preset small --root DIR")(
        pretrain
    )
    app.command(
        "finetune",
        help="Pre-train where needed, fine-tune, and stop there.\n\n"
        "Example:  bench finetune --method mae3d --task msd04 --preset small --corpus own",
    )(finetune)
    app.command(
        "predict",
        help="Apply a trained cell to a folder of volumes.\n\n"
        "Example:  bench predict --cell CELL --images DIR --out DIR",
    )(predict)


def pretrain(
    method: o.Method,
    task: Annotated[str, typer.Option(help="The task whose training volumes `--corpus own` takes.")] = "",
    preset: o.Preset = "full",
    protocol: o.ProtocolName = "bench",
    corpus: o.Corpus = "",
    corpus_root: o.CorpusRoot = "",
    root: Annotated[str, typer.Option(help="A folder of volumes: the same as --corpus folder --corpus-root DIR.")] = "",
    fold: o.Fold = 0,
    settings: o.Settings = [],  # noqa: B006
    phantom: o.Phantom = False,
    partial: o.Partial = False,
    device: o.Device = "auto",
    devices: o.Devices = 1,
    results: o.Results = o.RESULTS,
    json: o.Json = False,
) -> None:
    from bench.cli.console import print_json
    from bench.rooms import pretrain_alone

    place = place_of(results, device, json, devices)
    found = pretrain_alone(
        method=method,
        task=task,
        preset=preset,
        protocol=protocol,
        corpus=corpus,
        folder=corpus_root or ("" if task else root),
        root=root if task else "",
        fold=fold,
        settings=tuple(settings),
        phantom=phantom,
        partial=partial,
        place=place,
    )
    if not _is_first():
        return
    if json:
        print_json(found)
        return
    print(f"Encoder: {found['encoder']}\nLog:     {found['log']}\nCorpus:  {found['corpus']}")
    print(f"Next:    {_with_weights(method, task, preset, settings)} --weights {shlex.quote(found['encoder'])}")


def _is_first() -> bool:
    """False in a further process of several: the first one tells."""
    from bench.train.ranks import is_first

    return is_first()


def _with_weights(method: str, task: str, preset: str, settings: list[str]) -> str:
    """A run that builds the encoder which was pre-trained: its preset, and what was set of the network."""
    import dataclasses

    from bench.contracts.configs import PhaseConfig
    from bench.spec import parse_setting

    training = {field.name for field in dataclasses.fields(PhaseConfig)}
    network = [text for text in settings if parse_setting(text)[1] not in training]
    words = ["bench", "run", "--method", method, "--task", task or "TASK", "--preset", preset]
    return shlex.join([*words, *(word for text in network for word in ("--set", text))])


def finetune(
    method: o.Method,
    task: o.Task,
    ratio: o.Ratio = 1.0,
    seed: o.Seed = 0,
    fold: o.Fold = 0,
    preset: o.Preset = "full",
    protocol: o.ProtocolName = "bench",
    corpus: o.Corpus = "",
    corpus_root: o.CorpusRoot = "",
    weights: o.Weights = "",
    settings: o.Settings = [],  # noqa: B006
    phantom: o.Phantom = False,
    partial: o.Partial = False,
    exclude_exposed: o.ExcludeExposed = False,
    root: o.Root = "",
    device: o.Device = "auto",
    devices: o.Devices = 1,
    results: o.Results = o.RESULTS,
    json: o.Json = False,
) -> None:
    from bench.cli.console import print_json
    from bench.contracts.errors import SpecError
    from bench.rooms import finetune_alone

    specs = o.specs_of(**o.words_of(locals()), repeats=1)
    if len(specs) > 1:
        raise SpecError(f"bench finetune trains one model, these words name {len(specs)}.", remedy="Try bench run.")
    found = finetune_alone(specs[0], place_of(results, device, json, devices))
    if not _is_first():
        return
    if json:
        print_json(found)
        return
    print(f"Model: {found['model']}\nLog:   {found['log']}")
    print(f"Next:  {specs[0].words(paths=True)} --results {shlex.quote(str(results))}")


def predict(
    cell: Annotated[str, typer.Option(help="A cell's name or path. All: bench table all.")],
    out: Annotated[Path, typer.Option(help="Where the label maps go.")],
    images: Annotated[Path | None, typer.Option(help="A folder of .nii or .nii.gz volumes.")] = None,
    official: Annotated[
        bool, typer.Option("--official", help="The task's hidden test part, as its owners' server takes it.")
    ] = False,
    root: o.Root = "",
    device: o.Device = "auto",
    results: o.Results = o.RESULTS,
    json: o.Json = False,
) -> None:
    from bench.cli.console import print_json
    from bench.contracts.errors import SpecError

    if official == (images is not None):
        raise SpecError(
            "Say --images DIR for any volumes, or --official for the task's hidden test part.",
            case=cell,
            remedy="For example: bench predict --cell CELL --images DIR --out DIR",
        )
    place = place_of(results, device, json)
    if images is not None:
        from bench.predict_folder import predict_folder

        found = predict_folder(cell, images, out, place)
    else:
        from bench.submission import submit

        found = submit(cell, Path(root) if root else None, out, place)
    print_json(found) if json else print(f"{how_many(len(found), 'file' if official else 'prediction')} in {out}")
