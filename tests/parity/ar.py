"""AR beside its released code, serena9525/AR-SSL4M: the same weights, files and draws through both.

    python -m tests.parity.ar FOLDER [--out results/parity/ar.json]

Pre-training, at the paper's size (ViT-B, 128^3 voxels, 512 tokens, three sequences): files to sequences (`ar_sequences`), then
states, predictions, loss and gradients. Their code has the raster order and the pooled loss (`ref_code`); `full` is held against
their network with its tokens put image after image by hooks, one sequence at a time. Fine-tuning (`ar_finetuning`), at the
paper's size: UNETR at 96^3 (its loss and gradients at 48^3, in double precision), the encoder on LA's grid, the classifiers of
RICORD and NoduleMNIST3D with their losses, windows, learning rate and weight decay of every parameter, schedules.

Stand-ins: timm (a start that is drawn over), what transformers 4.37 makes of a mask (later ones lack it), UNETR's first ViT, which
MONAI 1.3 took and the released code then replaces. Functions of scripts that import what is not here are taken out of them alone.

Left out, because it cannot be called on arrays or because we tell that it differs (`Changes` of methods/ar.py, notes of the
protocols): random augmentation, which crops and lesions are drawn, foreground crops, RICORD's resampling, LA's padding,
NoduleMNIST3D's bytes, a start without weights, the bias of a classifier's head (0 here).

Two to four minutes and 7 GB on one core.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.ar import AR, METHOD
from tests.parity.ar_code import ENCODER, Places, gradients, open_to_imports, settings_of, sight, with_their_weights
from tests.parity.ar_finetuning import classifying, schedules, segmenting, windows
from tests.parity.ar_sequences import sequences
from tests.parity.released import Compared, checkout, compared, report

REPOSITORY = "serena9525/AR-SSL4M"
PRETRAINED: Places = {"model.": ("encoder.", ENCODER), "decoder_pred.": ("predict.", ())}
NOTES = (
    "All is float32, but UNETR's loss and gradients double; the released training keeps parameters, norms and targets in bfloat16.",
    "Crops travel as float16 here, which moves a voxel by 2^-12 at most; rounded to bfloat16, as a network gets them, some come to "
    "lie one step of bfloat16 away.",
    "Fine-tuning warms up one update ahead here: update s takes (s + 1) / W of the rate, theirs s / W. They are compared with that "
    "update between them.",
    "Windows of semantic sequences are compared with the centre that the released script rounds down. Our layout keeps the middle "
    "of the box, told from the other side (RAS), so that its window lies one or two voxels of 128 away.",
)


def pretraining(work: Path) -> list[Compared]:
    """Sequences, then both networks at both presets."""
    theirs = importlib.import_module("model").ReconModel(settings_of((128, 128, 128), norm_pixel_loss=True))
    method = AR(METHOD.ref_code, sight((128, 128, 128)))
    names = with_their_weights(method, theirs, PRETRAINED)
    found, batch = sequences(work, method)
    found += passed("ref_code", theirs, method, names, [batch])
    full = AR(METHOD.full, sight((128, 128, 128)))
    full.load_state_dict(method.state_dict())
    turn_tokens(theirs.model, full.order)
    return found + passed("full", theirs, full, names, [{k: x[n : n + 1] for k, x in batch.items()} for n in range(3)])


def turn_tokens(network: nn.Module, order: Tensor) -> None:
    """Make their network walk its tokens, each with its position and its target, in another order than raster."""
    cells, rows = network.patchifier, network.patchifier.patchify
    cells.register_forward_hook(lambda _m, _i, tokens: tokens[:, order])
    network.pos_embed.register_forward_hook(lambda _m, _i, places: places[order])
    cells.patchify = lambda volume: rows(volume)[:, order]


def passed(
    what: str, theirs: nn.Module, method: AR, names: Mapping[str, str], parts: list[dict[str, Tensor]]
) -> list[Compared]:
    """States, predictions, the loss (theirs the mean of its parts, each a batch to them) and gradients of both."""
    seen: dict[str, list[Tensor]] = {"theirs": [], "ours": []}
    hooks = [theirs.model.norm.register_forward_hook(lambda _m, _i, x: seen["theirs"].append(x.detach()))]
    hooks += [method.encoder.norm.register_forward_hook(lambda _m, _i, x: seen["ours"].append(x.detach()))]
    theirs.zero_grad()
    answers = [theirs(**part) for part in parts]
    loss = torch.stack([told for told, _ in answers]).mean()
    loss.backward()
    whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    volume = whole["input_image"].reshape(-1, 1, 128, 128, 128)
    prefix = (~whole["prefix_mask"]).sum(1) - 1  # START is none of the prefix's tokens
    own = method.loss({"volume": volume, "prefix": prefix})["next_token"]
    own.backward()
    (states,) = seen["ours"]
    for hook in hooks:
        hook.remove()
    predicted = torch.cat([told.detach() for _, told in answers])[:, :-2]
    return [
        compared(f"{what}: states of 514 places", torch.cat(seen["theirs"]), states),
        compared(f"{what}: predicted tokens", predicted, method.predict(states[:, :-2])),
        compared(f"{what}: loss", loss, own),
        *gradients(what, theirs, method, names),
    ]


def main() -> None:
    """Compare, print, write."""
    folder, out = checkout(REPOSITORY)
    open_to_imports(folder)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work:
        found = pretraining(Path(work))
    found += [*segmenting(folder), *classifying(folder), *windows(folder), *schedules(folder)]
    report(REPOSITORY, folder, found, out, NOTES)


if __name__ == "__main__":
    main()
