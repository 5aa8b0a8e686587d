"""The sequences that a corpus offers, and which of them a step sees: spatial, contrast and semantic ones in one list.

Source   AR-SSL4M (arXiv 2409.08691), "Sequence construction" and "Implementation details"; numbers from its released code
Corpus   `fields(case)` tells the family: `category` and `lesion_centre` make a lesion of a semantic sequence, `group` and
         `contrast` one of four aligned images of a contrast sequence, neither a volume of its own. A corpus of four channels
         holds a contrast sequence in every case
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts.counts import how_many
from bench.contracts.errors import DataMissing, SpecError
from bench.contracts.method import Corpus, Sample
from methods.parts.slabs import crop_count

FAMILIES = ("spatial", "contrast", "semantic")
CONTRASTS = ("t1n", "t1c", "t2w", "t2f")  # released code, order in a sequence
NEEDS: Mapping[str, str] = {
    "spatial": "volumes of one channel",
    "contrast": f"groups of aligned {', '.join(CONTRASTS)}",
    "semantic": "lesions of a category, four or more of one",
}


@dataclass(frozen=True)
class Offer:
    """The entries of a corpus, in the order spatial, contrast, semantic; `len` counts them, `sample` gives one.

    `ends` is the running count of entries of `volumes`, each of which has as many as it has crops.
    """

    volumes: tuple[str, ...]
    ends: NDArray[np.int64]
    groups: tuple[Sample, ...]
    crops_per_group: int
    lesions: Mapping[int, tuple[str, ...]]
    sequences_per_category: int
    slabs: int
    partial_groups: int
    small_categories: tuple[int, ...]

    def counts(self) -> dict[str, int]:
        """Entries by family."""
        return {
            "spatial": int(self.ends[-1]) if len(self.ends) else 0,
            "contrast": len(self.groups) * self.crops_per_group,
            "semantic": len(self.lesions) * self.sequences_per_category,
        }

    def __len__(self) -> int:
        return sum(self.counts().values())

    def sample(self, entry: int) -> Sample:
        """The case ids of an entry; which crop of them is shown is drawn later."""
        spatial, contrast, _ = self.counts().values()
        if entry < spatial:
            return (self.volumes[int(np.searchsorted(self.ends, entry, side="right"))],)
        if entry < spatial + contrast:
            return self.groups[(entry - spatial) // self.crops_per_group]
        which, number = divmod(entry - spatial - contrast, self.sequences_per_category)
        category = sorted(self.lesions)[which]
        return semantic_sequence(self.lesions[category], category, number, self.slabs)


@dataclass(frozen=True)
class SequenceDraw:
    """A step's samples out of shuffled epochs over the entry list. Families weigh by their entries, as published.

    `crops_per_volume` entries a volume, fewer for one of less than `depth` slices; `crops_per_group` a group;
    `sequences_per_category` a lesion category. With `exclude_overlap` nothing is drawn from sets whose field `overlaps`
    names tasks. Entries whose number is a multiple of `held_out_every` are not trained on (0: all are). Without
    `in_slabs` every case is a volume of its own.
    """

    families: tuple[str, ...]
    depth: int
    slabs: int
    crops_per_volume: int
    crops_per_group: int
    sequences_per_category: int
    exclude_overlap: bool = False
    held_out_every: int = 0
    in_slabs: bool = True
    _known: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, corpus: Corpus, batch_size: int, step: int, seed: int) -> Sequence[Sample]:
        offer = self.offer(corpus)
        total = self.trained(len(offer))
        places = range(step * batch_size, (step + 1) * batch_size)
        entries = [int(_shuffled(total, seed, place // total)[place % total]) for place in places]
        return [offer.sample(self.entry(k)) for k in entries]

    def offer(self, corpus: Corpus) -> Offer:
        """The entries of a corpus; the last corpus is remembered. Raises DataMissing where there is none."""
        if self._known.get("corpus") is not corpus:
            self._known.update(corpus=corpus, offer=self._found(corpus))
        offer: Offer = self._known["offer"]
        return offer

    def told(self, corpus: Corpus) -> tuple[str, ...]:
        """What the entry list of this corpus lacks, for the record."""
        offer = self.offer(corpus)
        lacking = [
            f"{f} sequences (they need {NEEDS[f]})" for f in self.families if self.in_slabs and not offer.counts()[f]
        ]
        told = [f"the corpus offers no {' and no '.join(lacking)}: pre-trained without them"] if lacking else []
        if offer.partial_groups:
            told.append(
                f"no contrast sequence from {how_many(offer.partial_groups, 'group')} in want of one of {', '.join(CONTRASTS)}"
            )
        if offer.small_categories:
            names = ", ".join(map(str, offer.small_categories))
            told.append(f"lesion categories {names} have fewer than {self.slabs} lesions and give no semantic sequence")
        return tuple(told)

    def trained(self, entries: int) -> int:
        """How many of so many entries are trained on."""
        return entries - (-(-entries // self.held_out_every) if self.held_out_every else 0)

    def entry(self, place: int) -> int:
        """The number of the entry at a place among those trained on: every `held_out_every`-th, from 0, is passed over."""
        if not self.held_out_every:
            return place
        block, rest = divmod(place, self.held_out_every - 1)
        return block * self.held_out_every + rest + 1

    def _found(self, corpus: Corpus) -> Offer:
        if corpus.sight.channels not in (1, self.slabs):
            raise SpecError(
                f"Sequences are made of volumes with 1 channel or with {self.slabs}, found {corpus.sight.channels}.",
                remedy="Pre-train on another corpus: --corpus, --corpus-root, or give --weights.",
            )
        told = {case: corpus.fields(case) for case in corpus.cases}
        kept = {case: fields for case, fields in told.items() if not (self.exclude_overlap and fields.get("overlaps"))}
        by_family = {
            name: [c for c, fields in kept.items() if self._family(corpus, fields) == name] for name in FAMILIES
        }
        wanted = {name: cases if name in self.families else [] for name, cases in by_family.items()}
        groups, partial = self._groups(corpus, wanted["contrast"], kept)
        if any(len(group) not in (1, self.slabs) for group in groups):
            raise SpecError(
                f"A sequence of {self.slabs} images has no place for the {len(CONTRASTS)} contrasts of an examination.",
                remedy=f"Set slabs={len(CONTRASTS)}, or leave contrast out of `families`.",
            )
        lesions = _by(wanted["semantic"], lambda case: int(kept[case]["category"]))
        crops = [crop_count(corpus.shape(case)[2], self.depth, self.crops_per_volume) for case in wanted["spatial"]]
        offer = Offer(
            volumes=tuple(wanted["spatial"]),
            ends=np.cumsum(np.array(crops, np.int64)),
            groups=groups,
            crops_per_group=self.crops_per_group,
            lesions={category: cases for category, cases in lesions.items() if len(cases) >= self.slabs},
            sequences_per_category=self.sequences_per_category,
            slabs=self.slabs,
            partial_groups=partial,
            small_categories=tuple(sorted(c for c, cases in lesions.items() if len(cases) < self.slabs)),
        )
        if not self.trained(len(offer)):
            raise self._nothing(corpus)
        return offer

    def _family(self, corpus: Corpus, fields: Mapping[str, Any]) -> str:
        if not self.in_slabs:
            return "spatial"
        if corpus.sight.channels > 1 or ("group" in fields and "contrast" in fields):
            return "contrast"
        return "semantic" if "category" in fields else "spatial"

    def _groups(
        self, corpus: Corpus, cases: Sequence[str], told: Mapping[str, Mapping[str, Any]]
    ) -> tuple[tuple[Sample, ...], int]:
        """Whole groups in the order of `CONTRASTS`, and how many lack an image."""
        if corpus.sight.channels > 1:
            return tuple((case,) for case in cases), 0
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for case in cases:
            found[str(told[case]["group"])][str(told[case]["contrast"])] = case
        whole = [images for images in found.values() if set(CONTRASTS) <= set(images)]
        return tuple(tuple(images[c] for c in CONTRASTS) for images in whole), len(found) - len(whole)

    def _nothing(self, corpus: Corpus) -> DataMissing:
        wanted = "; ".join(f"{name}: {NEEDS[name]}" for name in self.families)
        return DataMissing(
            f"The corpus has {how_many(len(corpus.cases), 'case')} and offers none of the sequences asked for ({wanted}).",
            remedy="Take a corpus that has them, or other families: --corpus, --set families=spatial.",
        )


def semantic_sequence(lesions: Sequence[str], category: int, number: int, slabs: int) -> Sample:
    """Sequence `number` of a category: distinct lesions in random order, the same in every epoch, as a stored list is."""
    rng = np.random.Generator(np.random.Philox(key=[category, number]))
    return tuple(lesions[int(place)] for place in rng.choice(len(lesions), slabs, replace=False))


def _by(cases: Sequence[str], key: Any) -> dict[int, tuple[str, ...]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for case in cases:
        found[key(case)].append(case)
    return {name: tuple(members) for name, members in found.items()}


@functools.lru_cache(maxsize=2)
def _shuffled(total: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch; 1.6 million entries take a while, so that the two epochs a step may touch are remembered."""
    return np.random.default_rng((seed, epoch)).permutation(total)
