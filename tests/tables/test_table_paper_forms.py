"""Each form of a paper's table is whole and safe: LaTeX that TeX sets, HTML that parses, CSV that reads back, no word obeyed."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.published.layout import paper_tables
from bench.table import FORMS, VIEWS, PaperTableModel, render, render_paper
from tests.hostile_words import HOSTILE, demand_that_none_is_obeyed, tags_of, tex_commands
from tests.tables.test_table import poisoned as poisoned_board
from tests.tables.test_table_paper import fifteen, mim, model

PDFLATEX = shutil.which("pdflatex")
FULL = [
    *fifteen([0, 1, 2]),
    mim(0.5, method="mae3d", corpus="own", preset="small"),
    mim(0.7, method="unetr_scratch", corpus="none"),
]


def poisoned(word: str, view: str = "both") -> PaperTableModel:
    """MiM's Table III with a run whose every free word is hostile."""
    changes: dict[str, Any] = {
        "protocol": word,
        "preset": word,
        "corpus": word,
        "partial": word,
        "differs": (word,),
        "exposure": word,
        "exposed": {word: word},
        "command": f"bench run --set {word}=1",
    }
    cells = [mim(**changes, seed=seed, config={"p": {word: word if seed else 1}}) for seed in range(3)]
    return model("mim:III", cells, view)


PLAIN = tags_of(render_paper(model("mim:III", [*FULL, mim(seed=9, differs=("x",))]), "html"))
COMMANDS = {
    command for cells in (FULL, [mim()]) for command in tex_commands(render_paper(model("mim:III", cells), "latex"))
}


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_a_record_is_obeyed(word: str) -> None:
    made = poisoned(word)
    assert sum(line.measured for line in made.lines) >= 1
    shown = {form: render_paper(made, form, width=200) for form in FORMS}
    formula = r"\$(\\pm|[+-][\d.]+|-)\$"
    demand_that_none_is_obeyed(
        shown, tags=PLAIN, commands=COMMANDS, formula=formula, markdown_tag="(u|sup)", most_letters=60_000
    )
    lines = list(csv.reader(io.StringIO(shown["csv"])))
    assert len({len(line) for line in lines}) == 1
    assert not [text for line in lines for text in line if re.match(r"\s*[=+@-](?![\d.]+$)", text)]


def test_best_is_bold_and_second_underlined_in_each_form_that_can() -> None:
    made = model("mim:VII", [], "published")
    best = next(p.printed.value for row in made.lines for p in row.places[-1:] if p.printed and p.printed_rank == 1)
    second = next(p.printed.value for row in made.lines for p in row.places[-1:] if p.printed and p.printed_rank == 2)
    for form, bold, underlined in (
        ("rich", "**{}**", "_{}_"),
        ("md", "**{}**", "<u>{}</u>"),
        ("latex", r"\textbf{{{}}}", r"\underline{{{}}}"),
        ("html", "<b>{}</b>", "<u>{}</u>"),
    ):
        shown = render_paper(made, form)
        assert bold.format(best) in shown and underlined.format(second) in shown


def test_row_groups_and_column_groups_stand_as_on_paper() -> None:
    made = model("mim:V", [], "published")
    html = render_paper(made, "html")
    assert re.findall(r'colspan="2" scope="colgroup">([^<]+)', html) == [
        "Task03 Liver", "Task06 Lung", "Task07 Pancreas", "Task08 Vessel", "Task10 Colon", "Average",
    ]  # fmt: skip
    assert re.findall(r'scope="rowgroup">([^<]+)', html) == ["From scratch", "General SSL", "3D Medical SSL"]
    latex = render_paper(made, "latex")
    assert r"\cmidrule(lr){4-5}\cmidrule(lr){6-7}" in latex
    assert r"\textit{General SSL}" in latex and r"\toprule" in latex and r"\bottomrule" in latex


def test_a_row_with_our_run_shows_published_measured_and_difference_and_others_the_published_alone() -> None:
    text = render_paper(model("mim:III", [mim(0.84, seed=s) for s in range(2)]), "md")
    rows = [line.split("|")[1:5] for line in text.splitlines() if line.startswith("|")]
    told = [(row[0].strip(), row[3].strip()) for row in rows]
    at = told.index(("MiM", "published"))
    assert told[at + 1 : at + 3] == [("", "measured"), ("", "difference")]
    assert [what for _, what in told].count("measured") == 1


class Balance(HTMLParser):
    """Counts what is open; void elements close themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.cells.append(0)
        if tag in ("td", "th"):
            self.cells[-1] += int(dict(attrs).get("colspan") or 1)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("view", VIEWS)
def test_html_closes_what_it_opens_and_all_rows_are_of_one_width(view: str) -> None:
    for table in paper_tables():
        page = Balance()
        page.feed(render_paper(model(table.name, FULL, view), "html"))
        assert page.open == []
        first, second, *rows = page.cells
        assert len(set(rows)) == 1 and rows[0] == first  # the second line of the head lies beside cells of two lines
        assert second < first


def test_csv_has_a_line_per_place_and_numbers_that_read_back() -> None:
    made = model("mim:III", [mim(d, seed=s) for s, d in enumerate((0.83, 0.84))])
    lines = list(csv.DictReader(io.StringIO(render_paper(made, "csv"))))
    assert len(lines) == 25 * 14
    (ours,) = [line for line in lines if line["measured"] and line["column"] == "Avg."]
    assert (float(ours["measured"]), ours["published"], ours["runs"]) == (83.5, "84.46", "2")
    assert float(ours["difference"]) == pytest.approx(-0.96)
    assert ours["verdict"] in ("within", "below") and ours["basis"] == "runs"
    blank = next(line for line in lines if line["stub: Method"] == "UNETR")
    assert blank["command"].startswith("bench run --method unetr_scratch") and blank["measured"] == ""


def document(*tables: str) -> str:
    head = [
        r"\documentclass{article}",
        r"\usepackage{booktabs,graphicx}",
        r"\usepackage[margin=2cm]{geometry}",
        r"\begin{document}",
    ]
    return "\n".join([*head, *(f"{table}\\clearpage" for table in tables), r"\end{document}", ""])


def set_by_tex(text: str, folder: Path) -> str:
    """The log of a TeX run that must succeed and leave a PDF."""
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    words = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").stat().st_size > 10_000
    return done.stdout


needs_tex = pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here: install texlive-latex-recommended")


@needs_tex
@pytest.mark.parametrize("view", ["published", "both"])
def test_every_table_is_set_by_tex_and_none_is_wider_than_its_line(view: str, tmp_path: Path) -> None:
    log = set_by_tex(document(*(render_paper(model(t.name, FULL, view), "latex") for t in paper_tables())), tmp_path)
    assert "Overfull \\hbox" not in log
    assert "Float too large" not in log


@needs_tex
def test_hostile_words_are_set_by_tex_as_words(tmp_path: Path) -> None:
    words = [*HOSTILE, "".join(map(chr, range(0x20, 0x250))), "中文 ﷽ 🙂 \u0301"]
    boards = (render(poisoned_board(word), "latex") for word in words)
    log = set_by_tex(document(*(render_paper(poisoned(word), "latex") for word in words), *boards), tmp_path)
    assert "Undefined control" not in log
    assert "(/etc/passwd" not in log  # a file that TeX reads stands in its log
