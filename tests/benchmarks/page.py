"""How long a page of ten thousand cells and a million case rows takes to make, how much memory, and how it feels in a browser.

    python -m tests.benchmarks.page [FOLDER] [--cells 10000] [--rows 100]

Fills a results folder (or takes FOLDER as it is, when there are cells in it), runs `bench page` in a process of its own, opens the
page in a headless Chromium from its file where one is installed, and prints one JSON line. The targets are 10 s and 1.5 GB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.case_rows import CaseRow
from bench.data.atomic import write_json
from bench.provenance import provenance
from bench.store import Store
from tests.cells import make_cell

METHODS, TASKS, RATIOS, CLASSES = 50, 34, (0.1, 1.0), 10
LATEST_S, LARGEST_BYTES = 10.0, 1_500_000_000


def fill(store: Store, cells: int, rows: int) -> None:
    """Write cells of 50 methods on 34 tasks at two shares of the labels, some with three seeds, as a project grows them."""
    words = itertools.product(range(3), range(TASKS), RATIOS, range(METHODS))
    for seed, task, ratio, method in itertools.islice(words, cells):
        draw = random.Random(f"{seed} {task} {ratio} {method}")
        told = []
        for i in range(rows):
            case = i // CLASSES
            value = 0.6 + 0.004 * method + 0.03 * random.Random(f"{task} {case}").gauss(0, 1) + 0.02 * draw.gauss(0, 1)
            told.append(CaseRow(f"case_{case:04d}", f"class-{i % CLASSES}", "dice", min(value, 0.99)))
        dice = sum(row.value for row in told) / rows
        store.write(
            make_cell(
                method=f"method{method:02d}", task=f"task{task:02d}", ratio=ratio, seed=seed, scores={"dice": dice},
                metrics=("dice",),
            ),
            told,
        )  # fmt: skip


def rendered(results: Path, out: Path) -> dict[str, Any]:
    """Seconds, processor seconds and peak bytes of one `bench page`, the interpreter's start included, and what it says."""
    words = [sys.executable, "-m", "bench.cli", "page", "--results", str(results), "--out", str(out), "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    seconds, busy = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime
    return {
        "render_s": round(seconds, 2),
        "processor_s": round(busy, 2),
        "peak_bytes": usage.ru_maxrss * 1024,
        **json.loads(told),
    }


def in_browser(index: Path) -> dict[str, Any]:
    """Seconds until the page can be used, and of a sort, a filter, a search and an opened line; empty without a browser."""
    from tests.browser import browser, missing

    if missing():
        return {}
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    with browser() as driver:

        def timed(deed: Callable[[], Any]) -> float:
            begin = time.perf_counter()
            deed()
            driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 0))")
            return round(time.perf_counter() - begin, 3)

        def searched() -> None:
            driver.find_element(By.ID, "search").send_keys("method07")
            while "method07" not in driver.execute_script("return document.querySelector('tr.line').textContent"):
                pass

        def opened() -> None:
            driver.find_element(By.CSS_SELECTOR, ".open-line").click()
            while not driver.find_elements(By.CSS_SELECTOR, ".cases tbody tr"):
                pass

        return {
            "usable_s": timed(lambda: driver.get(index.as_uri())),
            "sort_s": timed(lambda: driver.find_element(By.CSS_SELECTOR, "[data-key=score] button").click()),
            "filter_s": timed(lambda: Select(driver.find_element(By.ID, "task")).select_by_value("task05")),
            "search_s": timed(searched),
            "open_s": timed(opened),
        }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = Store(Path(asked.folder or temporary))
        if not store.cells():
            fill(store, asked.cells, asked.rows)
        out = Path(temporary) / "site"
        told = rendered(store.folder, out)
        sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
        report = {
            **{
                name: told[name]
                for name in ("cells", "case_rows", "results", "render_s", "processor_s", "peak_bytes", "files")
            },
            "site_bytes": sum(sizes),
            "index_bytes": (out / "index.html").stat().st_size,
            "within_targets": told["render_s"] <= LATEST_S and told["peak_bytes"] <= LARGEST_BYTES,
            "load_before": round(os.getloadavg()[0], 1),
            "browser": in_browser(out / "index.html"),
        }
    print(json.dumps(report))
    if asked.out:
        write_json(asked.out, report | {"machine": provenance()})


if __name__ == "__main__":
    main()
