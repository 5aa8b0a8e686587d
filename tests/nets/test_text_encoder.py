"""Frozen text encoders: reports cut into fragments, a BERT folder read offline, word vectors fitted and saved."""

from __future__ import annotations

import builtins
import hashlib
import json
import pickle
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.contracts.errors import DataMissing, SpecError
from bench.nets.bert_folder import BertFolder, WordPieces
from bench.nets.reports import clean_report, fragments
from bench.nets.text_encoder import TextEncoder, build_text_encoder
from bench.nets.word_vectors import WordVectors
from tests.nets.bert_folder import WORDS, write_bert

REPORTS = (
    "Two nodules (3, 4 mm) in the right lung, stable. No effusion.",
    "No nodule in the left lung; no effusion. The heart is normal in size.",
    "The right lung is clear. The left lung is clear. The aorta is normal.",
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


def fitted(width: int = 16) -> WordVectors:
    encoder = WordVectors(vocabulary=64, width=width)
    encoder.fit(REPORTS)
    return encoder


def encode(encoder: TextEncoder, text: str) -> Tensor:
    ids = torch.tensor([encoder.tokeniser.ids(text)])
    with torch.no_grad():
        return encoder(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])[0]


def test_fragments_end_at_full_stops_commas_and_semicolons_outside_parentheses() -> None:
    report = "Two nodules (3, 4 mm; old), stable. No effusion;\n heart  normal. 1.5 cm cyst"
    assert fragments(report) == [
        "two nodules (3, 4 mm; old),",
        "stable.",
        "no effusion;",
        "heart normal.",
        "1.5 cm cyst",
    ]


def test_empty_fragments_and_the_placeholder_of_an_empty_section_are_dropped() -> None:
    assert clean_report(" Nodule.\n\tNot given. ") == "nodule."
    assert fragments("Nodule,, . ; Not given.") == ["nodule,"]
    assert fragments("Not given.") == fragments("") == []


def test_a_sentence_that_says_what_was_not_given_is_no_placeholder_and_ends_where_it_ends() -> None:
    """CT-RATE's reports often say that no contrast was given."""
    report = "Hard to judge, for contrast is not given. Heart normal; IV contrast not given, old cyst.\nNot given. Not given."
    assert fragments(report) == [
        "hard to judge,",
        "for contrast is not given.",
        "heart normal;",
        "iv contrast not given,",
        "old cyst.",
    ]


def test_a_parenthesis_that_never_closes_ends_with_its_sentence() -> None:
    assert fragments("cyst (3, 4 mm. clear, stable") == ["cyst (3, 4 mm.", "clear,", "stable"]


@given(st.text(string.ascii_lowercase + " .,;()", max_size=60))
def test_fragments_lose_no_letter_and_keep_the_order(text: str) -> None:
    letters = [c for c in text if c.isalpha()]
    assert [c for clause in fragments(text) for c in clause if c.isalpha()] == letters


@pytest.mark.parametrize("kind", ["bert", "words"])
def test_a_reports_tokens_are_those_of_its_fragments_one_after_the_other(kind: str, bert: Path) -> None:
    encoder = BertFolder(str(bert), longest=64) if kind == "bert" else fitted()
    for report in (*REPORTS, "the lung is clear; no nodule"):
        apart = [token for clause in fragments(report) for token in encoder.tokeniser.ids(clause)]
        assert encoder.tokeniser.ids(" ".join(fragments(report))) == apart


def test_a_bert_folder_gives_the_features_of_the_library(bert: Path) -> None:
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    theirs = BertModel(BertConfig(**json.loads((bert / "config.json").read_text()))).eval()
    state = load_file(bert / "model.safetensors")
    theirs.load_state_dict({k.removeprefix("bert."): v for k, v in state.items() if k.startswith("bert.")})
    ours = BertFolder(str(bert), longest=64)
    ids = torch.tensor([ours.tokeniser.ids("two nodules in the left lung.")])
    assert [WORDS[token] for token in ids[0]] == ["two", "nod", "##ule", "##s", "in", "the", "left", "lung", "."]
    assert ours.tokeniser.continues(ids[0].numpy()).tolist() == [False, False, True, True, *[False] * 5]
    with torch.no_grad():
        expected = theirs(ids).last_hidden_state[0]
    torch.testing.assert_close(encode(ours, "two nodules in the left lung."), expected, atol=1e-6, rtol=1e-5)
    assert (ours.width, ours.vocabulary, ours.tokeniser.size) == (32, len(WORDS), len(WORDS))


def test_padding_reads_the_text_beside_it_as_it_does_in_the_library(bert: Path) -> None:
    """MG-3D's released code lets padded words guide, so that what they hold counts (row 8 of its fidelity spec)."""
    from transformers import BertModel

    ours, theirs = BertFolder(str(bert), longest=64), BertModel.from_pretrained(bert).eval()
    texts = [ours.tokeniser.ids(text) for text in ("no effusion.", "two nodules in the left lung.")]
    words = torch.full((3, 12), ours.tokeniser.padding)
    for row, ids in zip(words, texts, strict=False):
        row[: len(ids)] = torch.tensor(ids)
    shown = words != ours.tokeniser.padding
    with torch.no_grad():
        found = ours(words, shown.long(), torch.arange(12).expand_as(words))
        expected = theirs(words[:2], attention_mask=shown[:2].long()).last_hidden_state
    torch.testing.assert_close(found[:2], expected, atol=1e-6, rtol=1e-5)
    assert bool(found.isfinite().all())  # of a row that holds nothing as well


@pytest.mark.parametrize("form", [{"prefix": "", "binary": False}, {"prefix": "bert.", "binary": True}])
def test_weights_with_and_without_prefix_in_either_file_form_are_the_same_bert(
    form: dict[str, Any], bert: Path, tmp_path: Path
) -> None:
    other = BertFolder(str(write_bert(tmp_path, **form)), longest=64)
    torch.testing.assert_close(encode(other, REPORTS[0]), encode(BertFolder(str(bert), longest=64), REPORTS[0]))


@pytest.mark.parametrize("kind", ["bert", "words"])
def test_texts_packed_in_one_row_come_out_as_if_encoded_alone(kind: str, bert: Path) -> None:
    encoder = BertFolder(str(bert), longest=64) if kind == "bert" else fitted()
    clauses = ["no effusion.", "two nodules in the right lung,"]
    alone = torch.cat([encode(encoder, clause) for clause in clauses])
    ids = [encoder.tokeniser.ids(clause) for clause in clauses]
    group = [number for number, found in enumerate(ids, start=1) for _ in found]
    position = [place for found in ids for place in range(len(found))]
    padded = torch.tensor([[*ids[0], *ids[1], encoder.tokeniser.padding, encoder.tokeniser.padding]])
    with torch.no_grad():
        packed = encoder(padded, torch.tensor([[*group, 0, 0]]), torch.tensor([[*position, 0, 0]]))[0, : len(group)]
    torch.testing.assert_close(packed, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "words"])
def test_an_encoder_is_frozen_and_bit_equal_whatever_the_mode_of_the_module_around_it(kind: str, bert: Path) -> None:
    encoder: TextEncoder = BertFolder(str(bert), longest=64) if kind == "bert" else fitted()
    around = nn.Sequential(encoder).train()
    assert not encoder.training and not any(p.requires_grad for p in around.parameters())
    assert torch.equal(encode(encoder, REPORTS[0]), encode(encoder, REPORTS[0]))


def test_dropout_of_the_released_code_can_be_asked_for(bert: Path) -> None:
    encoder = BertFolder(str(bert), longest=64, dropout=True)
    assert not torch.equal(encode(encoder, REPORTS[0]), encode(encoder, REPORTS[0]))
    encoder.eval()
    assert torch.equal(encode(encoder, REPORTS[0]), encode(encoder, REPORTS[0]))


def test_the_embedding_layer_sees_no_other_token_and_the_encoder_does(bert: Path) -> None:
    for encoder in (BertFolder(str(bert), longest=64), fitted()):
        one, other = (torch.tensor([encoder.tokeniser.ids(t)]) for t in ("no effusion", "no nodule"))
        position = torch.arange(2)[None]
        with torch.no_grad():
            assert torch.equal(encoder.embed(one, position)[0, 0], encoder.embed(other[:, :2], position)[0, 0])
        assert not torch.equal(encode(encoder, "no effusion")[0], encode(encoder, "no stable")[0])


def test_a_folder_without_its_files_and_a_bert_of_another_kind_are_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"config\.json"):
        BertFolder(str(tmp_path / "nowhere"), longest=64)
    with pytest.raises(SpecError, match="text_length=128"):
        BertFolder(str(bert), longest=250)
    folder = write_bert(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
    with pytest.raises(SpecError, match="'roberta'"):
        BertFolder(str(folder), longest=64)
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(SpecError, match=r"encoder\.layer\.2.*nothing"):
        BertFolder(str(folder), longest=64)


def test_without_transformers_one_line_says_how_to_get_it(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **words: Any) -> Any:
        if name.partition(".")[0] == "transformers":
            raise ImportError(name)
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SpecError, match=r"ssl3d-bench\[text\]"):
        build_text_encoder(str(bert), vocabulary=64, width=16, longest=64)
    assert isinstance(build_text_encoder("", vocabulary=64, width=16), WordVectors)


def test_word_vectors_are_the_same_for_the_same_reports_and_others_for_others() -> None:
    one, same, other = fitted(), fitted(), WordVectors(vocabulary=64, width=16)
    other.fit(REPORTS[:2])
    assert torch.equal(one.vectors, same.vectors) and torch.equal(one.spellings, same.spellings)
    assert not torch.equal(one.vectors, other.vectors)


def test_a_saved_state_brings_its_vocabulary_along() -> None:
    first, second = fitted(), WordVectors(vocabulary=64, width=16)
    assert second.tokeniser.ids("lung") == [second.tokeniser.unknown]
    second.load_state_dict(first.state_dict())
    for report in REPORTS:
        assert second.tokeniser.ids(report) == first.tokeniser.ids(report)
        assert torch.equal(encode(second, report), encode(first, report))


def test_a_tokeniser_travels_to_a_worker() -> None:
    tokeniser = fitted().tokeniser
    assert pickle.loads(pickle.dumps(tokeniser)).ids(REPORTS[0]) == tokeniser.ids(REPORTS[0])


def test_the_latent_half_is_the_scaled_left_singular_basis_of_the_tf_idf_matrix() -> None:
    encoder = fitted()
    cut = [encoder.tokeniser.ids(clause) for report in REPORTS for clause in fragments(report)]
    words = sorted({word for clause in cut for word in clause})
    counts = np.array([[clause.count(word) for word in words] for clause in cut], float)
    idf = np.log((1 + len(cut)) / (1 + (counts > 0).sum(0))) + 1
    _, scale, basis = np.linalg.svd(counts * idf, full_matrices=False)
    expected = (basis[:8].T * scale[:8]) @ (basis[:8].T * scale[:8]).T
    length = np.sqrt(np.diag(expected))
    found = encoder.vectors[words, :8].numpy()
    np.testing.assert_allclose(found @ found.T / 8, expected / np.outer(length, length), atol=1e-3)


def test_words_that_always_stand_together_share_their_latent_half_and_stay_apart_by_spelling() -> None:
    encoder = WordVectors(vocabulary=64, width=64)
    encoder.fit(["pleural effusion.", "no pleural effusion.", "clear lung."])
    pleural, effusion = (encoder.vectors[encoder.tokeniser.ids(word)[0]] for word in ("pleural", "effusion"))
    torch.testing.assert_close(pleural[:32], effusion[:32], atol=1e-5, rtol=1e-5)
    assert torch.cosine_similarity(pleural[32:], effusion[32:], dim=0) < 0.5


def test_the_order_of_words_counts_and_a_neighbour_across_fragments_does_not() -> None:
    encoder = fitted()
    assert not torch.allclose(encode(encoder, "left lung")[0], encode(encoder, "lung left")[1])
    ids = torch.tensor([encoder.tokeniser.ids("left lung")])
    together = encoder(ids, torch.tensor([[1, 1]]), torch.tensor([[0, 1]]))
    apart = encoder(ids, torch.tensor([[1, 2]]), torch.tensor([[0, 0]]))
    assert torch.equal(apart, encoder.vectors[ids]) and not torch.equal(together, apart)


def test_a_word_is_its_own_vector_and_half_of_each_neighbours_turned_away_from_it() -> None:
    """The left neighbour's features move up by one place, the right one's down, so that their order can be told."""
    encoder = fitted()
    ids = encoder.tokeniser.ids("left lung is clear")
    own = encoder.vectors[ids]
    for t, found in enumerate(encode(encoder, "left lung is clear")):
        left = torch.roll(own[t - 1], 1) if t > 0 else torch.zeros(16)
        right = torch.roll(own[t + 1], -1) if t < 3 else torch.zeros(16)
        torch.testing.assert_close(found, own[t] + 0.5 * left + 0.5 * right)


def test_the_other_half_of_a_vector_belongs_to_a_spelling_and_both_halves_are_as_long() -> None:
    """A unit vector drawn by the digest of the spelling; scaled so that a vector of 16 numbers has a length of 4."""
    encoder = fitted()
    for word in ("lung", "nodule"):
        key = int(hashlib.sha256(f"0|{word}".encode()).hexdigest()[:16], 16)
        drawn = np.random.Generator(np.random.Philox(key=key)).standard_normal(8)
        (place,) = encoder.tokeniser.ids(word)
        wanted = drawn / np.linalg.norm(drawn) * 8**0.5
        np.testing.assert_allclose(encoder.vectors[place, 8:].numpy(), wanted, atol=1e-5)
        assert encoder.vectors[place].norm().item() == pytest.approx(4.0, abs=1e-4)


def test_reports_without_a_word_cannot_be_learnt_from() -> None:
    with pytest.raises(DataMissing, match="2 reports hold no word"):
        WordVectors(vocabulary=64, width=16).fit(["Not given.", " . "])


def test_frequent_words_come_first_and_overlong_ones_stay_unknown() -> None:
    encoder = WordVectors(vocabulary=7, width=16)
    encoder.fit(["lung lung heart, " + "x" * 33 + " " + "x" * 33])
    assert encoder.tokeniser.ids("lung heart aorta " + "x" * 33) == [
        5,
        1,
        1,
        1,
    ]  # the comma is more frequent by spelling
    assert encoder.tokeniser.ids(",") == [6]


def test_a_word_keeps_its_vector_whatever_stands_in_the_vocabulary_before_it() -> None:
    reports = ["There is a nodule.\0 No effusion.\0", "No nodule.\0 Heart normal.\0 Lungs clear.\0"]
    vectors = [WordVectors(vocabulary=64, width=8) for _ in range(2)]
    vectors[0].fit(reports)
    vectors[1].fit([report.replace("\0", "") for report in reports])
    for word in ("no", "nodule", "clear"):
        one, other = (e.vectors[e.tokeniser.ids(word)[0], 4:] for e in vectors)  # the half that its spelling decides
        assert torch.equal(one, other), word


def test_the_lines_of_a_vocabulary_end_where_files_have_line_ends_and_nowhere_else(tmp_path) -> None:
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2028", "[MASK]", "lung", "##s", "clear")
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    pieces = WordPieces(tmp_path / "vocab.txt")
    assert pieces.size == len(words) and pieces.mask == words.index("[MASK]")
    assert pieces.continues(np.array(pieces.ids("lungs clear"))).tolist() == [False, True, False]
