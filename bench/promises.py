"""What an encoder says of itself, held against what it gives, where tensors have no values: before it is trained."""

from __future__ import annotations

import dataclasses

import torch

from bench import registry
from bench.chain import Chain
from bench.contracts.configs import Sight
from bench.contracts.errors import BenchError, EncoderMismatch, PluginBroken
from bench.contracts.method import Encoder, Features


def demand_network(chain: Chain) -> None:
    """Raises SpecError or PluginBroken where the task's network cannot be built of this encoder, or it is not what it says it is,
    and EncoderMismatch where it takes no weights of one that sees the corpus' channels: told before it is trained in vain."""
    plan, kind = chain.blueprint, registry.kind(chain.words.task.kind)
    with torch.device("meta"):  # shapes alone, no weights
        encoder = demand_encoder(plan.method.encoder(plan.architecture, plan.setup.sight), chain.words.spec.method)
        kind.build_net(plan.setup, encoder, plan.method.decoder, 0)
        demand_promises(encoder, chain.words.spec.method, plan.setup.sight)
        if chain.sight is not None:
            seen = dataclasses.replace(plan.setup.sight, channels=chain.sight.channels)
            brought = plan.method.encoder(plan.architecture, seen)
            demand_taken_over(encoder, brought, chain.words.corpus_word, chain.words.spec.task)


def demand_encoder(built: object, name: str) -> Encoder:
    """What a card's `encoder` built. Raises PluginBroken where that is no Encoder."""
    if isinstance(built, Encoder):
        return built
    raise PluginBroken(
        f"Its card's `encoder` gives a {type(built).__name__}, asked for an Encoder.",
        case=name,
        remedy="Return a network derived from bench.contracts.method.Encoder.",
    )


def demand_promises(encoder: Encoder, name: str, sight: Sight) -> None:
    """Raises PluginBroken where maps, strides, the pooled vector or the layers are not what the encoder says.

    What cannot be computed without values is not judged. Call it where the encoder was built on the meta device.
    """
    try:
        encoder.layers()
        with torch.no_grad():
            features = encoder.eval()(torch.empty(1, sight.channels, *sight.shape, device="meta"))
    except NotImplementedError as error:
        if not str(error):  # the contract's own; torch tells what the meta device lacks
            missing = "layers" if type(encoder).layers is Encoder.layers else "forward"
            raise _broken(name, f"The encoder has no `{missing}`.") from error
        return
    except BenchError:
        raise
    except Exception:
        return
    if not isinstance(features, Features):
        raise _broken(name, f"The encoder gives a {type(features).__name__}, asked for Features(maps, pooled).")
    found = [tuple(feature.shape) for feature in (*features.maps, features.pooled)]
    said = [
        (1, channels, *(side // step for side, step in zip(sight.shape, stride, strict=True)))
        for channels, stride in zip(encoder.channels, encoder.strides, strict=False)
    ]
    said.append((1, encoder.pooled_width))
    if found != said or len(encoder.channels) != len(encoder.strides):
        raise _broken(
            name,
            f"By `channels`, `strides` and `pooled_width` the encoder's maps and pooled vector have shapes {said}, found {found}.",
        )


def demand_taken_over(encoder: Encoder, brought: Encoder, corpus: str, task: str) -> None:
    """Raises EncoderMismatch where an encoder of the task takes no weights of one that sees the corpus. Both lie on the meta
    device; what a load would need the values of (words of a text encoder) comes after all shapes, and is not judged."""
    try:
        encoder.adopt(brought.state_dict())
    except NotImplementedError:
        return
    except EncoderMismatch as error:
        raise EncoderMismatch(
            f"An encoder pre-trained on '{corpus}' fits no network of this task: {error.message}",
            case=task,
            remedy="Take a corpus of the task's own channels: --corpus own.",
        ) from error


def _broken(name: str, message: str) -> PluginBroken:
    return PluginBroken(message, case=name, remedy="bench/contracts/method.py says what an Encoder must give.")
