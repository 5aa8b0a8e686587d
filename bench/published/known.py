"""What is known of printed tables besides their cells: test set sizes, what averages average, what the text says.

`known.toml` beside this file holds it for the four papers; any file of the same form will do.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bench.contracts.errors import DataMissing, DataUnsound

KNOWN = Path(__file__).with_name("known.toml")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Size(_Frozen):
    """The test set of a task: `papers` empty for an official split. See `known.toml` for the other words."""

    task: str
    test: PositiveInt
    source: str
    papers: tuple[str, ...] = ()
    positives: int = 0
    negatives: int = 0
    runs: PositiveInt = 1
    means_of_runs: tuple[str, ...] = ()
    assumed: bool = False

    def holds_for(self, paper: str) -> bool:
        """True where this size may be asked of a paper's cells."""
        return not self.papers or paper in self.papers


class Claim(_Frozen):
    """A number that the running text quotes; empty words match any row."""

    paper: str
    table: str
    method: str
    task: str
    metric: str
    says: str = Field(pattern=r"^-?\d+(\.\d+)?$")
    where: str
    corpus: str = ""
    network: str = ""
    region: str = ""
    ratio: str = ""


class Total(_Frozen):
    """A printed total and its printed parts."""

    paper: str
    table: str
    what: str
    says: int
    parts: tuple[int, ...]


class Count(_Frozen):
    """A count in the text, and that of a published list."""

    paper: str
    table: str
    what: str
    says: int
    published: int
    source: str


class Known(_Frozen):
    """All of a file's facts. `averages` maps a column's task to the tasks averaged, `spread_runs` a paper to its runs."""

    averages: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    size: tuple[Size, ...] = ()
    spread_runs: dict[str, PositiveInt] = Field(default_factory=dict)
    claim: tuple[Claim, ...] = ()
    total: tuple[Total, ...] = ()
    count: tuple[Count, ...] = ()

    def size_of(self, paper: str, task: str) -> Size | None:
        """The test set of a paper's task, the paper's own before an official one; None where it is not known."""
        fitting = [size for size in self.size if size.task == task and size.holds_for(paper)]
        return max(fitting, key=lambda size: bool(size.papers), default=None)


def read_known(file: Path = KNOWN) -> Known:
    """Read a file of facts. Raises DataMissing where there is none, DataUnsound with the place of what cannot be read."""
    remedy = "See bench/published/known.toml for the form."
    if not file.is_file():
        raise DataMissing(f"There is no file '{file}'.", case=file.name, remedy=remedy)
    try:
        return Known.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataUnsound(f"Not TOML: {error}.", case=file.name, remedy=remedy) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataUnsound(f"{place}: {first['msg']}.", case=file.name, remedy=remedy) from error
