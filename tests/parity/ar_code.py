"""How the comparisons of AR load its released code, hand its weights over and hold gradients against each other."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts.configs import Intensity, Shape3, Sight
from tests.parity.released import Compared, compared, moved, stand_in, taken_over

ENCODER = (  # their names of parameters, and ours
    (r"^embed_tokens\.weight", "entry.special_tokens"),
    (r"^patchifier\.proj", "entry.embed"),
    (r"^layers", "blocks"),
    *((rf"self_attn\.{part[0]}_proj", f"attention.{part}") for part in ("query", "key", "value")),
    (r"self_attn\.o_proj", "attention.proj"),
    (r"post_attention_layernorm", "norm2"),
    (r"input_layernorm", "norm1"),
    (r"mlp\.linear", "mlp.fc"),
)
Places = Mapping[str, tuple[str, Sequence[tuple[str, str]]]]


def open_to_imports(folder: Path) -> None:
    """Let the released modules be imported: their folders, and what stands in for others."""
    sys.path[:0] = [str(folder / "preprocess"), str(folder / "pretrain")]
    for name in ("timm", "timm.models", "transformers"):
        stand_in(name)
    stand_in("timm.models.layers", trunc_normal_=nn.init.trunc_normal_)
    stand_in("transformers.modeling_attn_mask_utils", _prepare_4d_causal_attention_mask_for_sdpa=mask_as_added)


def mask_as_added(mask: Tensor, _shape: Any, tokens: Tensor, _past: int) -> Tensor:
    """What transformers 4.37 makes of a mask with four axes: 0 where a key is seen, else the least number."""
    return torch.zeros(mask.shape, dtype=tokens.dtype).masked_fill(~mask.bool(), torch.finfo(tokens.dtype).min)


def released(folder: Path, path: str, package: str = "") -> Any:
    """A file of theirs as a module of a name of its own, for three of its folders have a `utils`; or inside a package of ours."""
    if package:
        stand_in(package).__path__ = [str((folder / path).parent)]
        return importlib.import_module(f"{package}.{Path(path).stem}")
    spec = importlib.util.spec_from_file_location("released_" + re.sub(r"\W", "_", path), folder / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions(path: Path, **world: Any) -> SimpleNamespace:
    """The functions and methods of a file that cannot be imported here, in a world that holds nothing else."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    for one in found:
        one.returns, one.decorator_list = None, []
    exec(compile(ast.Module(found, []), str(path), "exec"), world)
    return SimpleNamespace(**world)


def names_of(theirs: nn.Module, places: Places) -> dict[str, str]:
    """Our name of each of their parameters. `places`: how their name begins, how ours does, and what is renamed behind."""
    told = {}
    for name, _ in theirs.named_parameters():
        begin = next(begin for begin in places if name.startswith(begin))
        own, renamed = places[begin]
        told[name] = own + functools.reduce(lambda x, pair: re.sub(*pair, x), renamed, name.removeprefix(begin))
    return told


def with_their_weights(ours: nn.Module, theirs: nn.Module, places: Places, **more: Tensor) -> dict[str, str]:
    """Move their weights off their start and hand them over; gives the names of both."""
    moved(theirs, 0)
    names = names_of(theirs, places)
    taken_over(ours, {names[name]: x for name, x in theirs.named_parameters()} | more)
    return names


def gradients(what: str, theirs: nn.Module, ours: nn.Module, names: Mapping[str, str]) -> list[Compared]:
    """Of the tokens' table, the patch embedding, a block's keys, the last parameter; and whichever lies farthest apart."""
    own, told = dict(ours.named_parameters()), {}
    for name, x in theirs.named_parameters():
        if x.grad is not None:
            told[name] = compared(f"{what}: gradient of {names[name]}", x.grad, own[names[name]].grad.reshape(x.shape))
    worst = max(told.values(), key=lambda one: one.share)
    return [*list(told.values())[:2], *(one for name, one in told.items() if "layers.5.self_attn.k" in name), worst]


def settings_of(sides: Sequence[int], **more: Any) -> SimpleNamespace:
    """Their network's configuration, as each of their scripts writes it down."""
    told = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_key_value_heads": 12}
    told |= {"num_hidden_layers": 12, "img_size": list(sides), "patch_size": [16, 16, 16], "pos_type": "sincos3d"}
    return SimpleNamespace(**told, **more)


def sight(sides: Shape3) -> Sight:
    return Sight(1, sides, None, Intensity("asis"))
