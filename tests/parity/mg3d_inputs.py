"""What MG-3D's released code makes of reports and volumes, beside what ours makes of them.

Their preparation of CTRG-Chest is one file without the ending .py: its functions are taken by name and run on reports of ours.
"""

from __future__ import annotations

import ast
import io
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertTokenizerFast

from bench.contracts.configs import Intensity, Sight
from bench.contracts.method import Batch
from bench.nets.bert_folder import SPECIALS, WordPieces
from bench.nets.intensity import to_network_range
from bench.nets.reports import fragments
from bench.phantoms.body import person
from bench.phantoms.findings import findings_of
from bench.phantoms.wording import report_of
from methods.mg3d import METHOD, MG3D
from methods.parts.language import ReportTokens
from methods.parts.losses import NOT_HIDDEN
from methods.parts.views import WholeVolume
from tests.methods.volumes_with_reports import Reported
from tests.parity.mg3d_released import LENGTH
from tests.parity.released import Compared, compared

SIDES = METHOD.ref_code.crop
SIGHT = Sight(1, SIDES, None, Intensity("hu"))
WHOLE = 250  # tokens of a report at full size
REPORTS = (
    (
        "Two small nodules (3, 4 mm) in the right lung, stable. No effusion. The heart is normal, the aorta clear.",
        "Nodules.",
    ),
    ("Heart of normal size; no effusion in the left lung. Liver is normal.", "No nodule in the lobe, stable."),
    ("A nodule of 4 mm in the left lobe, a small effusion. The aorta is normal.", "Effusion; nodule of the left lung."),
)
HARD = (
    ("Nodules (series 3, image 12; 4 mm) in the right lung. No change since 2019.", "Stable."),
    ("The nodule measures approx. 3.5 mm, cf. Fig. 2. Dr. Smith was told.", "No. 3 is stable."),
    ("Density of 1.5 x 2,5 cm; e.g. a cyst vs. a haematoma. No effusion.", "1. Cyst. 2. Effusion."),
    ("Opacity (left upper lobe, 3 mm (previously 2 mm), stable) seen. Heart normal.", "Benign?"),
    ("Unclosed (3 mm, right lung. The aorta is normal, clear.", "Unclosed (see above, below."),
    ("Grade 2. No pleural effusion!No nodule. Enlarged node (1.2 cm.). Liver normal.", "Normal."),
    ("Findings:  two  spaces.\nA new line, and more;  end.", "Impression\nfollows, here."),
    ("Vitamin D. deficiency is noted. T. 3 vertebra. a. b.", "M. S. seen."),
    ("Stable;; no effusion,, none. ... dots. , lone comma.", "Ok; ."),
    ("Value 10,000 in the lung, size 3x4 mm.The liver is normal.", "See www.site.com now."),
    ('Patient with a "shadow." is seen. Left-sided lesion; u.s. recommended.', "Fig 3 shows it. figure 4: normal."),
    ("Right lung, left lung（both）clear; normal。Heart normal.", "Nodule, stable."),
)


def prepared_reports(folder: Path, reports: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    """Clauses of findings and impressions, by their preparation of CTRG-Chest, which is run on these reports."""
    told = [
        {"image_path": "", "report": findings, "result": impression, "id": number}
        for number, (findings, impression) in enumerate(reports)
    ]
    names = {
        **dict(zip(("re", "random", "json"), (re, random, json), strict=True)),
        "open": lambda *_: io.StringIO(json.dumps(told)),
        "SentenceSplitter": lambda **_: lambda *_, **__: {},  # what it finds, they throw away
        "split_into_sections": None,
        "make_arrow_clm_ctrg_chest": lambda data, *_: data,
    }
    source = (folder / "prepro" / "prepro_finetuning_vision_datapy").read_text()
    wanted = ("split_sentences", "prepro_vision_clm_ctrg_jpg")
    parts = [part for part in ast.parse(source).body if getattr(part, "name", None) in wanted]
    exec(compile(ast.Module(parts, []), "prepro", "exec"), names)
    splits = names["prepro_vision_clm_ctrg_jpg"]()
    rows = [row for split in ("train", "test", "val") for row in splits[split]]
    return [(row["findings_sen"], row["impression_sen"]) for row in rows]


def read_by_them(
    theirs: SimpleNamespace, tokeniser: Any, cut: tuple[list[str], list[str]], length: int = LENGTH
) -> dict[str, Any]:
    """What their data set makes of a report that their preparation has cut."""
    findings, impression = (np.array(part, dtype=object) for part in cut)
    holder = SimpleNamespace(
        index_mapper={0: (0, 0)},
        all_texts=[[" ".join([*findings, *impression])]],
        all_findings_sen=[findings],
        all_impression_sen=[impression],
        sent_level=True,
        max_text_len=length,
        tokenizer=tokeniser,
    )
    random.seed(0)
    return theirs.cases.BaseDataset.get_text_sen(holder, 0)


def batches(theirs: SimpleNamespace, folder: Path, tokeniser: Any, ours: MG3D) -> tuple[dict[str, Any], Batch]:
    """The same volumes, reports and hidden words as either code reads them."""
    reader = ours.phases[0].views.tokens
    rng = np.random.default_rng(0)
    mine = [reader(" ".join(parts), rng) for parts in REPORTS]
    own = {name: torch.stack([torch.from_numpy(one[name]) for one in mine]).long() for name in mine[0]}
    own["volume"] = torch.rand(len(REPORTS), 1, *SIDES, generator=torch.Generator().manual_seed(2))
    read = [read_by_them(theirs, tokeniser, cut) for cut in prepared_reports(folder, REPORTS)]
    labels = torch.full_like(own["words"], NOT_HIDDEN)
    for row, (places, words) in enumerate(zip(own["hidden_place"], own["hidden_word"], strict=True)):
        labels[row, places[words != NOT_HIDDEN]] = words[words != NOT_HIDDEN]
    told = {
        "image": [own["volume"].transpose(1, 2)],
        "text_ids": torch.stack([one["text"][1]["input_ids"] for one in read]),
        "text_masks": torch.stack([one["text"][1]["attention_mask"] for one in read]),
        "text_ids_mlm": own["corrupted"],
        "text_labels": labels,
        "text_labels_mlm": labels,
        "sentence_index": [one["sentence_index"] for one in read],
        "sen_txt_": [[text for text, _ in one["sen_txt"]] for one in read],
        "sen_txt_ids": [[ids["input_ids"] for _, ids in one["sen_txt"]] for one in read],
        "hashfile": [f"CT-RATE/{number}.pt" for number in range(len(read))],
    }
    return told, own


def texts(theirs: SimpleNamespace, folder: Path, made: Path) -> tuple[list[Compared], list[str]]:
    """How reports are cut, and told as ids; in words, where those made to be hard are cut or read otherwise."""
    people = (person("full", "ctrg", str(number)) for number in range(300))
    phantoms = [report_of(one, findings_of(one)) for one in people]
    cuts = prepared_reports(folder, [(one.findings, one.impression) for one in phantoms])
    tokeniser, own = tokenisers(made, " ".join(f"{one.findings} {one.impression}" for one in phantoms))
    reader = ReportTokens(own, WHOLE, 64, 0.15)
    apart, ids, whole = 0, 0, 0
    for one, cut in zip(phantoms, cuts, strict=True):
        text = f"{one.findings} {one.impression}"
        apart += [piece.strip().lower() for part in cut for piece in part] != fragments(text)
        read, mine = read_by_them(theirs, tokeniser, cut, WHOLE), reader(text, np.random.default_rng(0))
        if int(read["text"][1]["attention_mask"].sum()) < WHOLE:  # none of it was cut
            whole += 1
            told = [*read["text"][1]["input_ids"].tolist(), *read["sentence_index"].tolist()]
            alone = [int(word) for _, clause in read["sen_txt"] for word in clause["input_ids"][0]]
            ids += told != [*mine["words"], *mine["sentence"]] or alone != [*mine["apart_words"][: len(alone)]]
    hard = []
    for parts, cut in zip(HARD, prepared_reports(folder, HARD), strict=True):
        theirs_cut = [piece.strip().lower() for part in cut for piece in part]
        read = [text for text, _ in read_by_them(theirs, tokeniser, cut, WHOLE)["sen_txt"]]
        ours_cut = [piece for part in parts for piece in fragments(part)]
        if theirs_cut != ours_cut:
            hard.append(
                f"they cut {[x for x in theirs_cut if x not in ours_cut]}, ours {[x for x in ours_cut if x not in theirs_cut]}"
            )
        elif read != ours_cut:
            hard.append(
                f"of {[x for x in ours_cut if x not in read]} they read {[x for x in read if x not in ours_cut]}"
            )
    return [
        Compared("phantom reports (300) cut otherwise", len(phantoms), apart),
        Compared(f"phantom reports of fewer than {WHOLE} tokens ({whole}) told by other ids", whole, ids),
        Compared(f"hard reports ({len(HARD)}) cut or read otherwise, see notes", len(HARD), len(hard)),
    ], hard


def tokenisers(made: Path, text: str) -> tuple[Any, WordPieces]:
    """A BERT's tokeniser as transformers gives it, and ours, on a vocabulary that knows the words of a text in two pieces."""
    words = sorted(set(re.findall(r"\w+", text.lower())))
    pieces = sorted({word[:5] for word in words} | {f"##{word[5:]}" for word in words if word[5:]})
    path = made / "pieces.txt"
    path.write_text("\n".join([*SPECIALS, *".,;:()/%-", *pieces]) + "\n", encoding="utf-8")
    return BertTokenizerFast(vocab=str(path), do_lower_case=True), WordPieces(path)


def middle(theirs: SimpleNamespace) -> tuple[list[Compared], list[str]]:
    """The middle of a CT-RATE volume, resized; ours lies along patient x, y, z, theirs along z, x, y. In words, by how much a
    ramp comes out apart where no share of the sides is whole."""
    sides = (64, 64, 100)
    noise = np.random.default_rng(0).uniform(-1000, 1000, sides).astype(np.float32)
    found = [compared(f"the middle of {sides} voxels of noise", *seen_by_both(theirs, noise))]
    sides = (61, 70, 103)
    ramps = [
        np.broadcast_to(np.indices((side,))[0].reshape(-1, *[1] * (2 - axis)), sides) for axis, side in enumerate(sides)
    ]
    apart = [compared("", *seen_by_both(theirs, 10 * ramp.astype(np.float32))).apart * 200 for ramp in ramps]
    told = ", ".join(f"{voxels:.1f}" for voxels in apart)
    return found, [f"the middle's box is truncated to voxels there, rounded here: {sides} come out {told} voxels apart"]


def seen_by_both(theirs: SimpleNamespace, grey: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """A volume in HU as their data set and as our view show it, in [0, 1]."""
    theirs.cases.np = SimpleNamespace(load=lambda _: {"arr_0": grey.transpose(2, 0, 1) / 1000})
    name = SimpleNamespace(as_py=lambda: "/1/2/3/4/5/CT-RATE/case.npz")
    holder = SimpleNamespace(index_mapper={0: (0, None)}, table={"image_id": [name]})
    released = torch.as_tensor(theirs.cases.BaseDataset.get_raw_image(holder, 0))[:, 0].permute(2, 1, 0)
    theirs.cases.np = np
    corpus = Reported({"a": "Normal."}, grey.shape)
    corpus.volumes = {"a": grey[None]}
    shown = WholeVolume(SIDES, METHOD.ref_code.middle_share)(corpus, ("a",), np.random.default_rng(0))["volume"]
    return released, to_network_range(torch.from_numpy(shown), SIGHT.intensity)[0]
