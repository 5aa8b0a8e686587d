"""The command line as a program sees it: exit codes, JSON, and what a command may import."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bench as package
from bench.cli import main, run_words
from bench.cli.options import specs_of
from bench.store import Store
from tests.cells import make_cell, make_rows
from tests.command_line import bench

ROOT = Path(package.__file__).parent
HEAVY = ("torch", "monai", "pandas", "scipy.ndimage")
COMMANDS = (
    "list",
    "show",
    "doctor",
    "plan",
    "run",
    "pretrain",
    "finetune",
    "predict",
    "quickstart",
    "score",
    "table",
    "verify",
    "page",
    "figure",
    "compare",
    "audit",
    "grid",
    "study",
    "data add",
    "data check",
    "data status",
    "phantom make",
    "figure ratios",
    "figure ranks",
    "figure radar",
    "figure scaling",
)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run_words([*words, "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    found: dict[str, Any] = json.loads(printed.err)
    assert set(found) == {"error", "case", "message", "remedy"}
    return found


def heavy_after(script: str) -> list[str]:
    code = f"import sys\n{script}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1].replace("'", '"')))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_words([*command.split(), "--help"]) == 0
    assert f"bench {command}" in capsys.readouterr().out


def test_help_lists_and_a_run_without_data_load_nothing_heavy(tmp_path: Path) -> None:
    lines = [
        "from bench.cli import run_words",
        "import contextlib, io",
        "with contextlib.redirect_stdout(io.StringIO()):",
    ]
    words = [
        ["--help"],
        *[["list", sort, "--json"] for sort in ("methods", "tasks", "corpora", "tables")],
        ["list", "methods"],
        ["data", "check", "msd04", "--root", str(tmp_path)],
        ["run", "--method", "mim", "--task", "btcv", "--results", str(tmp_path)],
    ]
    calls = [f"    run_words({w!r})" for w in words] + [f"    run_words({[*c.split(), '--help']!r})" for c in COMMANDS]
    assert heavy_after("\n".join(lines + calls)) == []


def test_checking_real_files_loads_nothing_heavy(tmp_path: Path) -> None:
    make = f"run_words(['phantom', 'make', 'msd04', '--size', 'smoke', '--out', {str(tmp_path)!r}])"
    subprocess.run([sys.executable, "-c", f"from bench.cli import run_words\n{make}"], check=True, capture_output=True)
    words = ["data", "check", "msd04", "--root", str(tmp_path), "--json"]
    code = f"from bench.cli import run_words\nassert run_words({words!r}) == 0"
    assert [m for m in heavy_after(code) if m != "scipy.ndimage"] == []


@pytest.mark.parametrize("sort", ["methods", "tasks", "corpora", "tables"])
def test_list_prints_objects_with_names(sort: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_words(["list", sort, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows and all(isinstance(row["name"], str) for row in rows)


def test_missing_data_are_told_with_size_licence_page_tree_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    found = error_of(["run", "--method", "mim", "--task", "btcv", "--ratio", "0.25"], capsys)
    told = f"{found['message']} {found['remedy']}"
    assert found["error"] == "DataMissing"
    assert found["case"] == "btcv"
    for word in ("syn3193805", "GB", "--phantom", "--root", "Training"):
        assert word in told


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["run", "--method", "mae3", "--task", "btcv"], "SpecError", "Did you mean 'mae3d'"),
        (["run", "--method", "mim@align_biol", "--task", "btcv"], "SpecError", "Did you mean 'align_byol'"),
        (["run", "--method", "mim", "--task", "btvc"], "SpecError", "Did you mean 'btcv'"),
        (["run", "--method", "mim", "--task", "btcv", "--ratio", "1.5"], "SpecError", "(0, 1]"),
        (["run", "--method", "mim", "--task", "btcv", "--preset", "smal"], "SpecError", "Did you mean 'small'"),
        (["run", "--method", "mim", "--task", "btcv", "--protocol", "ar"], "SpecError", "bench"),
        (["run", "--method", "mim", "--task", "btcv", "--fold", "3"], "SpecError", "one split and no fold 3"),
        (
            ["run", "--method", "mim", "--task", "stoic", "--fold", "3"],
            "SpecError",
            "3 folds and no fold 3. Say --fold 0 to 2",
        ),
        (["run", "--method", "mim", "--task", "btcv", "--set", "steps"], "SpecError", "key=value"),
        (["run", "--method", "mim", "--task", "btcv", "--weights", "no.safetensors"], "DataMissing", "no.safetensors"),
        (["run", "--method", "unet3d_scratch", "--task", "btcv", "--corpus", "own"], "SpecError", "does not pre-train"),
        (["run", "--metod", "mim"], "UsageError", "--metod"),
        (["run", "--method", "mim", "--task", "btcv", "--ratio", "0.25,half"], "UsageError", "found '0.25,half'"),
        (["finetune", "--method", "mim,ar", "--task", "btcv"], "SpecError", "trains one model, these words name 2"),
        (["run"], "SpecError", "--method"),
        (["run", "--plan", "none.json"], "SpecError", "Not a plan"),
        (["list", "method"], "SpecError", "Did you mean 'methods'"),
        (["show", "mimm"], "SpecError", "Did you mean 'mim'"),
        (["score", "--predictions", "none", "--truth", "none"], "DataMissing", "none"),
        (["nonsense"], "UsageError", "nonsense"),
        (["run", "--plan", "p.json", "--engine", "slurmm"], "UsageError", "'--engine': 'slurmm' is not one of"),
    ],
)
def test_a_users_mistake_is_one_json_object_and_exit_code_two(
    words: list[str], error: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = error_of(words, capsys)
    assert found["error"] == error
    assert told in f"{found['message']} {found['remedy']}"


def test_what_the_upper_floors_refuse_ends_in_what_to_do_next() -> None:
    files = [path for folder in (".", "cli", "tables", "figures", "published") for path in (ROOT / folder).glob("*.py")]
    bare = [
        f"{path.name}:{call.lineno}"
        for path in files
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") in ("SpecError", "DataMissing")
        and "remedy" not in [keyword.arg for keyword in call.keywords]
    ]
    assert len(files) > 60 and bare == []


@pytest.mark.parametrize(
    "words",
    [
        ("--fold", "9"),
        ("--protocol", "mim", "--fold", "9"),
        ("--set", "nonsense=1"),
        ("--preset", "tiny", "--corpus", "none1"),
    ],
)
def test_words_are_refused_before_phantoms_are_drawn(words: tuple[str, ...], tmp_path: Path) -> None:
    answer = bench("run", "--method", "mae3d", "--task", "btcv", "--phantom", "--results", tmp_path, *words, "--json")
    assert answer.error["remedy"] and not (tmp_path / "runs").exists()


def test_a_mistake_without_json_is_two_short_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_words(["run", "--method", "mae3", "--task", "btcv"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Error: mae3: No method 'mae3'. Did you mean 'mae3d'?", "Next:  All of them: bench list methods"]


@pytest.mark.parametrize(
    "words", [("show", "nosuch"), ("table", "nosuch"), ("verify", "nosuch"), ("compare", "nosuch-*", "a")]
)
def test_a_remedy_looks_for_results_where_the_command_looked(words: tuple[str, ...], tmp_path: Path) -> None:
    """Before, typed as printed it looked in ./results."""
    folder = tmp_path / "of mine"
    Store(folder).write(make_cell(), make_rows())
    there = f"bench table all --results '{folder}'"
    assert bench(*words, "--results", folder, "--json").error["remedy"].endswith(there)
    assert bench(*words, f"--results={folder}", "--json").error["remedy"].endswith(there)


@pytest.mark.parametrize("name", ["all", "msd04", "leaderboard"])
def test_a_table_of_a_folder_without_results_names_the_folder(name: str, tmp_path: Path) -> None:
    told = bench("table", name, "--results", tmp_path / "nowhere", "--json").error
    assert told["message"] == f"There are no results in '{tmp_path / 'nowhere'}' yet."


def test_a_plan_that_cannot_be_written_is_refused_before_anything_is_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.plan.make_plan", None)
    (tmp_path / "file").touch()
    words = ("plan", "--method", "mae3d", "--task", "msd04", "--phantom", "--json", "--out")
    assert "A folder stands" in bench(*words, tmp_path).error["remedy"]
    assert "A file stands" in bench(*words, tmp_path / "file" / "plan.json").error["remedy"]


def test_a_file_in_the_place_of_a_folder_is_told_as_such(tmp_path: Path) -> None:
    Store(tmp_path).write(make_cell(), make_rows())
    (tmp_path / "file").touch()
    told = bench("page", "--results", tmp_path, "--out", tmp_path / "file", "--json").error
    assert told["remedy"].startswith("A file stands where a folder is needed")


def test_stopping_by_hand_is_told_in_one_line_and_with_its_own_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.catalogue.listing", stop)
    assert run_words(["list", "tasks"]) == 130
    assert "Repeat the command to resume." in capsys.readouterr().err
    assert run_words(["list", "tasks", "--json"]) == 130
    assert json.loads(capsys.readouterr().err)["error"] == "Stopped"


@pytest.mark.parametrize("launched", [False, True])
def test_the_signal_of_a_scheduler_is_told_with_its_own_code_but_by_no_process_of_a_launcher(
    launched: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwound: list[bool] = []

    def stop(_: str) -> list[Any]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        finally:
            unwound.append(True)
        return []

    monkeypatch.setattr("bench.catalogue.listing", stop)
    monkeypatch.setattr(sys, "argv", ["bench", "list", "tasks", "--json"])
    if launched:
        monkeypatch.setenv("RANK", "1")
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err
    assert unwound == [True] and ended.value.code == (0 if launched else 143)
    assert said == "" if launched else "SIGTERM" in json.loads(said)["message"]


def test_our_own_fault_keeps_its_traceback_and_is_no_fault_of_the_users(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("bench.catalogue.listing", fail)
    with pytest.raises(ZeroDivisionError):
        run_words(["list", "tasks"])
    assert run_words(["list", "tasks", "--json"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and json.loads(lines[-1])["error"] == "ZeroDivisionError"


@pytest.mark.parametrize("title", ["a [bold]title[/bold]", "[red]"])
def test_text_in_a_table_is_shown_as_it_is(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.cli.console import print_table

    print_table(title, ("[x]",), [("[/y]",)])
    shown = capsys.readouterr().out
    assert title in shown and "[/y]" in shown and "[x]" in shown


def test_of_several_methods_those_from_scratch_take_no_corpus() -> None:
    words = {"task": "btcv", "ratio": "1", "settings": [], "seed": 0, "repeats": 1, "corpus": "own"}
    together = specs_of(method="unet3d_scratch,mim@align_byol", **words)
    assert [(spec.method, spec.corpus) for spec in together] == [("unet3d_scratch", ""), ("mim", "own")]
    assert [spec.corpus for spec in specs_of(method="unet3d_scratch,unetr_scratch", **words)] == [
        "own",
        "own",
    ]  # refused later


@pytest.mark.parametrize(
    "words",
    [
        ("table", "btcv"),
        ("table", "leaderboard"),
        ("table", "mim:III"),
        ("compare", "mim-*", "mae3d-*"),
        ("audit",),
        ("figure", "ratios", "btcv"),
    ],
)
def test_a_torn_cell_is_named_by_whatever_counts_without_it(words: tuple[str, ...], tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method, seed in (("mim", 0), ("mim", 1), ("mae3d", 0)):
        store.write(make_cell(method=method, seed=seed, task="btcv"), make_rows())
    whole = bench(*words, "--results", tmp_path)
    assert "Left out" not in whole.err
    torn = store.path(next(one.name for one in store.cells() if one.seed == 1))
    torn.write_bytes(torn.read_bytes()[:200])
    told = bench(*words, "--results", tmp_path, "--json")
    assert told.code == whole.code
    assert "Left out" in told.err and str(torn) in told.err


@pytest.mark.parametrize(
    "words",
    [("--published", "nan"), ("--published", "86", "--published-sd", "-3"), ("mae3d-*", "--seed", "-1")],
)
def test_a_comparison_with_a_number_that_is_none_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method in ("mim", "mae3d"):
        store.write(make_cell(method=method), make_rows())
    option = next(word for word in reversed(words) if word.startswith("--"))
    assert option in bench("compare", "mim-*", *words, "--results", tmp_path, "--json").error["message"]
