"""What a report generator is judged by and how it chooses its words, with numbers worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import registry
from bench.contracts.errors import SpecError
from tasks.kinds import report, vocabulary
from tasks.kinds.word_search import beam
from tests.tasks.test_report_kind import Cases, net_of, scored, setup

ONE = Cases({"a": "a b c d e."})  # six tokens, the full stop among them
Chances = Mapping[tuple[int, ...], Mapping[int, float]]


def written(net: report.ReportNet, words: str) -> list[int]:
    known = vocabulary.places(vocabulary.words_in(net.spellings))
    return [known[word] for word in words.split()]


# Selection and scores ---------------------------------------------------------------------------------


def test_weights_are_selected_by_bleu_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `a b c d c .` 5 of 6 words stand in the report, 3 of 5 pairs, 2 of 4 threes and 1 of 3 fours: a product of 1/12."""
    made = setup()
    net = net_of(made, ONE).eval()
    monkeypatch.setattr(report, "greedy", lambda following, count, **ends: [written(net, "a b c d c .")] * count)
    with torch.no_grad():
        assert report.evaluate(made, net, ONE) == pytest.approx((1 / 12) ** 0.25)


def test_weights_are_selected_on_the_reference_that_the_protocol_scores_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after four words the report is what was written; whole it is longer, and brevity costs."""
    for reference, expected in (("decoded", 1.0), ("full", torch.tensor(1 - 6 / 4).exp().item())):
        made = setup(reference=reference, max_tokens=4)
        net = net_of(made, ONE).eval()
        ids = written(net, "a b c d")
        monkeypatch.setattr(report, "greedy", lambda following, count, ids=ids, **ends: [ids] * count)
        with torch.no_grad():
            assert report.evaluate(made, net, ONE) == pytest.approx(expected)


def test_a_report_of_just_as_many_words_as_fit_is_not_cut(tmp_path: Path) -> None:
    counts = [
        scored(tmp_path / "a.json", setup(max_tokens=longest), "a b c d e.", "a", []).counts for longest in (6, 5)
    ]
    assert counts == [{}, {"truncated": 1}]


def test_a_report_is_written_by_the_beam_that_the_protocol_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = setup(beam=3)
    net, widths = net_of(made, ONE).eval(), []
    monkeypatch.setattr(report, "beam", lambda following, *, width, **ends: widths.append(width) or written(net, "a b"))
    report.predict_case(made, net, ONE, "a", tmp_path / "a.json")
    assert widths == [3] and json.loads((tmp_path / "a.json").read_text())["text"] == "a b"


# Training ---------------------------------------------------------------------------------------------


def test_training_shows_as_many_words_as_may_be_written_between_start_and_end() -> None:
    made = setup(max_tokens=20)
    views: Any = report.training_phase(made, net_of(made, ONE)).views
    assert views(ONE, ("a",), None)["words"].shape == (20 + 2,)


def test_the_encoder_learns_as_the_first_layer_and_the_decoder_as_the_last() -> None:
    net = net_of(setup())
    assert report.layers(net) == [net.encoder, net.decoder]


# Words ------------------------------------------------------------------------------------------------


def test_neither_padding_nor_the_start_nor_an_unused_place_is_ever_written() -> None:
    net = net_of(setup(), ONE).eval()
    memory = net.memory(torch.zeros(1, 1, 12, 12, 12))
    with torch.no_grad():
        found = net.following(memory)(torch.tensor([[vocabulary.START]]))[0]
    possible = {vocabulary.END, vocabulary.UNKNOWN, *written(net, "a b c d e .")}
    assert set(torch.isfinite(found).nonzero().flatten().tolist()) == possible
    assert found.exp().sum().item() == pytest.approx(1)


def following(chances: Chances) -> Any:
    """Log-probabilities of five words from a table; what the table does not hold has none."""

    def step(ids: Tensor) -> Tensor:
        rows = [[chances.get(tuple(row[1:]), {}).get(word, 0.0) for word in range(5)] for row in ids.tolist()]
        return torch.tensor(rows, dtype=torch.float64).log()

    return step


def found(chances: Chances, width: int) -> list[int]:
    return beam(following(chances), start=1, end=2, longest=3, width=width, device=torch.device("cpu"))


def test_every_protocol_tells_that_weights_are_chosen_by_greedy_texts_and_tests_written_by_a_beam() -> None:
    for protocol in registry.task("ctrg_report").protocols.values():
        assert any("written greedily" in note and "beam" in note for note in protocol.notes)


def test_a_beam_without_beginnings_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(SpecError, match="beam must be 1 or more, found 0"):
        setup(beam=0)


def test_a_beam_keeps_as_many_beginnings_as_it_is_wide() -> None:
    """0.4 and 0.35 go on with one half, to 0.2 and 0.175; the third beginning, 0.25, ends for sure and would win."""
    chances = {(): {3: 0.4, 4: 0.35, 0: 0.25}, (3,): {2: 0.5, 3: 0.5}, (4,): {2: 0.5, 3: 0.5}, (0,): {2: 1.0}}
    assert found(chances, 2) == [3] and found(chances, 3) == [0]


def test_a_text_is_as_likely_as_all_its_words_together_whatever_its_length() -> None:
    """Nothing at all has 0.4, one word 0.6 x 0.6 = 0.36; by the mean of their logarithms the longer text would win."""
    assert found({(): {2: 0.4, 3: 0.6}, (3,): {2: 0.6, 4: 0.4}, (3, 4): {2: 1.0}}, 5) == []


def test_words_are_numbered_by_how_often_they_stand_before_the_alphabet_is_asked() -> None:
    words = vocabulary.words_in(vocabulary.fitted([["a", "z", "z", "b", "z"], ["b"]], least_count=1, room=10))
    assert words[4:] == ("z", "b", "a")
