"""Tasks that compare volumes with sentences: which methods may be paired with them, and what a refused one is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import registry
from bench.check_words import _check_pair
from bench.contracts.cards import TaskCard
from bench.contracts.errors import SpecError
from bench.spec import make_spec

SPEC = make_spec(method="mae3d", task="msd04")


def card(*text_targets: str) -> TaskCard:
    return replace(registry.task("msd04"), targets={"tuned": {}}, text_targets=text_targets)


def test_an_encoder_that_reads_no_text_is_refused_where_sentences_are_compared_as_they_are() -> None:
    with pytest.raises(SpecError) as caught:
        _check_pair(SPEC, card(""), "")
    text = str(caught.value)
    assert "'mae3d' reads no text" in text and "--task msd04@tuned." in text


def test_the_same_encoder_may_learn_the_common_space() -> None:
    _check_pair(SPEC, card(""), "tuned")
    _check_pair(SPEC, card("tuned"), "")


def test_a_refusal_names_no_way_out_where_there_is_none() -> None:
    with pytest.raises(SpecError, match=r"reads no text\. Choose another task\."):
        _check_pair(SPEC, card("", "tuned"), "tuned")


def test_a_method_that_offers_text_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "offers", lambda name: frozenset({"text"}))
    _check_pair(SPEC, card("", "tuned"), "")
