"""The page in a real browser, from its file: what a reader clicks, types and hears, and what hostile words fail to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import page as page_module
from bench.page import write_page
from tests.browser import browser, missing
from tests.pages import HOSTILE, hostile_store, small_store

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is here")


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_page(small_store(folder / "results").folder, folder / "site").path


@pytest.fixture
def page(driver: Chrome, site: Path) -> Chrome:
    return opened(driver, site)


def opened(driver: Chrome, path: Path) -> Chrome:
    driver.get("about:blank")
    driver.get(path.as_uri())
    driver.get_log("browser")
    return driver


def all_of(page: Chrome, selector: str) -> list[WebElement]:
    return page.find_elements("css selector", selector)


def one(page: Chrome, selector: str) -> WebElement:
    return page.find_element("css selector", selector)


def choose(page: Chrome, name: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(one(page, f"#{name}")).select_by_value(value)


def wait(page: Chrome, script: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 10).until(lambda p: p.execute_script(f"return {script}"))


def texts(page: Chrome, selector: str) -> list[str]:
    found: list[str] = page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
    )
    return found


def focused(page: Chrome) -> str:
    return str(page.execute_script("return document.activeElement.textContent"))


def scores(page: Chrome) -> list[float]:
    return [float(text.split()[0]) for text in texts(page, "tbody.measured td.score")]


def test_clicking_a_head_sorts_best_first_then_the_other_way_and_says_so(page: Chrome) -> None:
    head, button = one(page, "[data-key=score]"), one(page, "[data-key=score] button")
    assert one(page, "[data-key=task]").get_attribute("aria-sort") == "ascending"
    button.click()
    falling = scores(page)
    assert falling == sorted(falling, reverse=True) and head.get_attribute("aria-sort") == "descending"
    button.click()
    assert scores(page) == falling[::-1] and head.get_attribute("aria-sort") == "ascending"
    assert one(page, "[data-key=task]").get_attribute("aria-sort") is None
    choose(page, "metric", "hd95")
    assert scores(page) == sorted(scores(page), reverse=True)  # of distances the worst is the largest


def test_filters_and_search_narrow_what_is_shown(page: Chrome) -> None:
    assert len(texts(page, "tbody.measured tr.line")) == 6
    choose(page, "task", "msd04")
    assert texts(page, "tbody.measured .open-line") == ["mim", "unet3d_scratch"]
    choose(page, "family", "scratch")
    assert texts(page, ".open-line") == ["unet3d_scratch"]
    one(page, "#reset").click()
    choose(page, "protocol", "mim")
    assert not texts(page, "tbody.measured tr") and texts(page, "tbody.printed tr.line")
    choose(page, "protocol", "")
    choose(page, "source", "measured")
    assert not texts(page, "tbody.printed")
    one(page, "#search").send_keys("SPAD btcv")
    assert wait(page, "document.querySelectorAll('tr.line').length === 1")
    assert "1 to 1 of 1 lines" in one(page, "#status").text
    one(page, "#search").send_keys(" nowhere")
    assert wait(page, "document.querySelectorAll('tr.line').length === 0")
    assert "No line fits" in one(page, "#status").text


def test_printed_rows_stand_apart_and_phantoms_in_a_view_of_their_own(page: Chrome) -> None:
    bodies = [body.get_attribute("class") for body in all_of(page, "#board tbody")]
    assert bodies == ["measured", "printed"]
    assert "0.99" not in "".join(texts(page, "tbody.measured td.score")) and max(scores(page)) < 95
    one(page, "#view-phantom").click()
    assert texts(page, "tbody.printed") == [] and scores(page) == [pytest.approx(99, abs=1.5)]
    assert one(page, "#phantom-note").is_displayed() and not one(page, "#source").is_displayed()
    assert one(page, "#view-phantom").get_attribute("aria-pressed") == "true"


def test_a_line_opens_by_keyboard_to_record_cases_command_and_picture(page: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    choose(page, "task", "msd04")
    choose(page, "source", "measured")
    lines = all_of(page, ".open-line")
    page.execute_script("arguments[0].focus()", lines[0])
    lines[0].send_keys(Keys.ARROW_DOWN)
    assert focused(page) == "unet3d_scratch"
    lines[1].send_keys(Keys.ENTER)
    assert wait(page, "document.querySelector('.cases tbody tr') !== null")
    assert lines[1].get_attribute("aria-expanded") == "true"
    detail = page.find_element("id", str(lines[1].get_attribute("aria-controls")))
    assert "bench run --method mim --task btcv" in detail.text  # the command as the record holds it
    assert texts(page, ".cases caption") == ["60 cases, 120 rows"] and len(texts(page, ".cases tbody tr")) == 25
    one(page, ".cases button").click()
    assert len(texts(page, ".cases tbody tr")) == 120
    picture = one(page, ".pictures img")
    page.execute_script("arguments[0].scrollIntoView()", picture)
    assert wait(page, "document.querySelector('.pictures img').naturalWidth === 1")
    assert picture.get_attribute("alt") == "Overlay of the worst test case"
    one(page, ".cases tbody").find_element("xpath", "ancestor::td//details/summary").click()
    assert wait(page, "document.querySelector('tr.detail pre').textContent.includes('\"content_hash\": \"c0ffee\"')")
    one(page, "tr.detail code").send_keys(Keys.ESCAPE)
    assert not all_of(page, "tr.detail") and focused(page) == "unet3d_scratch"
    one(page, "body").send_keys("/")
    assert page.execute_script("return document.activeElement.id") == "search"


def test_several_runs_of_a_line_are_shown_one_at_a_time(page: Chrome) -> None:
    one(page, ".open-line").click()
    assert wait(page, "document.querySelector('.cases tbody tr') !== null")
    assert texts(page, ".runs button") == ["s0-f0", "s1-f0"]
    assert "case_000: voxels" in one(page, "tr.detail").text and "exposed 2" in one(page, "tr.line").text
    all_of(page, ".runs button")[1].click()
    assert wait(page, "document.querySelector('tr.detail').textContent.includes('-s1-f0-')")
    assert [button.get_attribute("aria-pressed") for button in all_of(page, ".runs button")] == ["false", "true"]


def test_pages_turn_and_the_address_keeps_the_view(page: Chrome, site: Path) -> None:
    choose(page, "size", "25")
    one(page, "#next").click()
    assert "26 to 50" in one(page, "#status").text and one(page, "#previous").is_enabled()
    assert one(page, "tr.line").get_attribute("aria-rowindex") == "27"
    address = page.current_url
    opened(page, site)
    page.get("about:blank")
    page.get(address)
    assert "26 to 50" in one(page, "#status").text


def test_every_control_has_a_name_and_the_table_is_a_table(page: Chrome) -> None:
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('input, select, button')].filter(e => !(e.labels?.length || e.textContent.trim() || "
        "e.getAttribute('aria-label'))).length"
    )
    assert unnamed == 0
    assert texts(page, "#board > caption")[0].startswith("Results by Dice")
    assert {head.get_attribute("scope") for head in all_of(page, "#heads th")} == {"col"}
    assert all(head.get_attribute("scope") == "row" for head in all_of(page, "tr.line > th"))
    assert one(page, "#status").get_attribute("aria-live") == "polite"
    assert one(page, "html").get_attribute("lang") == "en"


def test_the_page_follows_a_dark_system_and_fits_a_narrow_window(page: Chrome) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.execute_script(ground)
    try:
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        assert page.execute_script(ground) not in ("", light)
        metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("inline", [True, False])
def test_hostile_words_are_shown_as_text_and_do_nothing(
    driver: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline: bool
) -> None:
    if not inline:
        monkeypatch.setattr(page_module, "INLINE_BYTES", 0)
    page = opened(driver, write_page(hostile_store(tmp_path / "results").folder, tmp_path / "site").path)
    one(page, "tbody.measured .open-line").click()
    assert wait(page, "document.querySelector('.cases tbody tr') !== null")
    one(page, "tr.detail summary").click()
    assert wait(page, "document.querySelector('tr.detail pre').textContent.length > 0")
    text = page.execute_script("return document.querySelector('tr.detail').textContent")
    assert all(word in text for word in HOSTILE[:-1])
    assert page.execute_script(
        "return window.harmed === undefined && document.querySelectorAll('tr.detail img').length === 0"
    )
    assert page.get_log("browser") == []


def test_a_shelf_that_does_not_lie_beside_the_page_is_named(
    driver: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "INLINE_BYTES", 0)
    path = write_page(small_store(tmp_path / "results").folder, tmp_path / "site").path
    (path.parent / "data" / "cells-0000.js").unlink()
    page = opened(driver, path)
    one(page, ".open-line").click()
    assert wait(page, "(document.querySelector('tr.detail .warning') || {}).textContent")
    assert "data/cells-0000.js does not lie beside this page" in one(page, "tr.detail .warning").text
