"""The report as a person meets it: opened from the disk in a real browser, without a network."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from records_factory import confirmed_config, make_confirmed_study, make_misranked_study, make_study
from report_page import report_of
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.ui import Select, WebDriverWait

from search.record.record import Record

pytestmark = pytest.mark.browser

DRIVER = "/usr/bin/chromedriver"
NAME = "<script>alert(1)</script>"
FIGURES = 5


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None or not Path(DRIVER).exists():
        reason = f"needs Chromium and {DRIVER} (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = Options()
    options.binary_location = found
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--window-size=1280,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def hostile_study() -> list[Record]:
    """The usual study under a name, and with parameters, that would run if anything were not escaped."""
    note = {"model.note": NAME}
    return [
        dataclasses.replace(
            record, study=NAME, params=dict(record.params) | note, config=dict(record.config) | note
        )
        for record in make_study()
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, hostile_study: list[Record]) -> Path:
    return report_of(tmp_path_factory.mktemp("report") / "demo", hostile_study)


@pytest.fixture(scope="module")
def metered_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two meters and temperatures."""
    folder = tmp_path_factory.mktemp("metered") / "demo"
    return report_of(folder, make_misranked_study())


@pytest.fixture(scope="module")
def confirmed_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A confirmed study whose names would run if anything were not escaped."""
    records = [dataclasses.replace(record, study=NAME, flags=(NAME,)) for record in make_confirmed_study()]
    return report_of(tmp_path_factory.mktemp("confirmed") / "demo", records, confirmed_config())


def opened(browser: Chrome, report: Path, figures: int) -> Chrome:
    browser.get_log("browser")
    browser.get(report.as_uri())
    drawn = "return document.querySelectorAll('[data-figure] .main-svg').length"
    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(drawn) >= figures)
    return browser


@pytest.fixture
def page(browser: Chrome, report: Path) -> Chrome:
    """The report, freshly opened and with its figures drawn."""
    return opened(browser, report, FIGURES)


@pytest.fixture
def metered_page(browser: Chrome, metered_report: Path) -> Chrome:
    return opened(browser, metered_report, FIGURES + 2)


def shown_trials(page: Chrome) -> list[int]:
    rows = page.find_elements(By.CSS_SELECTOR, "#runs tbody tr")
    return [int(row.find_element(By.CSS_SELECTOR, "th").text) for row in rows if row.is_displayed()]


def heading(page: Chrome, text: str) -> WebElement:
    return next(
        th for th in page.find_elements(By.CSS_SELECTOR, "#runs thead th") if th.text.startswith(text)
    )


def column(page: Chrome, text: str) -> list[str]:
    headings = page.find_elements(By.CSS_SELECTOR, "#runs thead th")
    index = next(i for i, th in enumerate(headings) if th.text.startswith(text))
    rows = page.find_elements(By.CSS_SELECTOR, "#runs tbody tr")
    return [row.find_elements(By.CSS_SELECTOR, "th, td")[index].text for row in rows]


def test_every_figure_is_drawn(page: Chrome) -> None:
    plots = page.find_elements(By.CSS_SELECTOR, "[data-figure]")
    assert len(plots) == FIGURES
    for plot in plots:
        assert plot.find_elements(By.CSS_SELECTOR, ".main-svg .trace, .main-svg .bars, .main-svg .point")


def test_the_console_has_no_complaint(page: Chrome) -> None:
    assert page.get_log("browser") == []


def test_nothing_is_requested_but_the_page_itself(page: Chrome) -> None:
    assert (
        page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        == []
    )


def test_a_name_with_a_script_is_shown_as_text_and_nothing_runs(page: Chrome) -> None:
    assert page.find_element(By.TAG_NAME, "h1").text == NAME
    assert NAME in page.find_element(By.ID, "best-yaml").text
    assert not alert_is_present()(page)


def test_a_hover_shows_parameters_as_text(page: Chrome) -> None:
    page.execute_script(
        "const plot = document.querySelector('[data-figure=figure-pareto]');"
        "const front = plot.data.findIndex((trace) => trace.name === 'Pareto front');"
        "Plotly.Fx.hover(plot, [{curveNumber: front, pointNumber: 0}]);"
    )
    hover = WebDriverWait(page, 10).until(lambda d: d.find_element(By.CSS_SELECTOR, ".hoverlayer .hovertext"))
    assert f"model.note = {NAME}" in hover.get_property("textContent")


def test_a_heading_sorts_by_number_and_again_the_other_way_round(page: Chrome) -> None:
    button = heading(page, "gross").find_element(By.TAG_NAME, "button")
    button.click()
    known = [float(text) for text in column(page, "gross") if text != "unknown"]
    assert known == sorted(known)
    assert column(page, "gross")[-1] == "unknown"
    assert heading(page, "gross").get_attribute("aria-sort") == "ascending"
    button.click()
    known = [float(text) for text in column(page, "gross") if text != "unknown"]
    assert known == sorted(known, reverse=True)
    assert column(page, "gross")[-1] == "unknown"
    assert heading(page, "gross").get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts_too_and_only_one_heading_is_marked(page: Chrome) -> None:
    heading(page, "gross").find_element(By.TAG_NAME, "button").click()
    heading(page, "outcome").find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(page, "outcome") == sorted(column(page, "outcome"))
    assert len(page.find_elements(By.CSS_SELECTOR, "#runs th[aria-sort]")) == 1


def test_rows_are_filtered_by_text_and_by_outcome(page: Chrome) -> None:
    assert len(shown_trials(page)) == 17
    page.find_element(By.ID, "filter-text").send_keys("FOREIGN cpu")
    assert shown_trials(page) == [12]
    assert page.find_element(By.ID, "filter-count").text == "1 of 17 runs"
    page.find_element(By.ID, "filter-text").clear()
    Select(page.find_element(By.ID, "filter-outcome")).select_by_visible_text("DOMINATED")
    assert shown_trials(page) == [5, 11]
    page.find_element(By.ID, "filter-text").send_keys("rmsnorm")
    assert shown_trials(page) == [5]


def test_the_page_does_not_scroll_sideways(page: Chrome) -> None:
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_figures_take_the_colours_of_the_dark_look(page: Chrome) -> None:
    look = "return document.querySelector('[data-figure]')._fullLayout.font.color"
    light = page.execute_script(look)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        WebDriverWait(page, 10).until(lambda driver: driver.execute_script(look) != light)
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_two_meters_and_temperatures_are_drawn_without_a_complaint(metered_page: Chrome) -> None:
    for name in ("meters-0", "temperature"):
        plot = metered_page.find_element(By.CSS_SELECTOR, f"[data-figure=figure-{name}]")
        assert plot.find_elements(By.CSS_SELECTOR, ".main-svg .point")
    assert metered_page.find_element(By.ID, "meter-warning").is_displayed()
    assert metered_page.get_log("browser") == []


def test_a_hover_shows_a_run_by_both_meters(metered_page: Chrome) -> None:
    metered_page.execute_script(
        "const plot = document.querySelector('[data-figure=figure-meters-0]');"
        "const runs = plot.data.findIndex((trace) => trace.name === 'reached the target');"
        "Plotly.Fx.hover(plot, [{curveNumber: runs, pointNumber: 0}]);"
    )
    hover = WebDriverWait(metered_page, 10).until(
        lambda d: d.find_element(By.CSS_SELECTOR, ".hoverlayer .hovertext")
    )
    text = hover.get_property("textContent")
    assert "nvml (measured): 41.7 J" in text
    assert "roofline (modelled): 12.9 J" in text


def test_temperatures_sort_by_the_rise_and_unknown_ones_come_last(metered_page: Chrome) -> None:
    heading(metered_page, "temperature").find_element(By.TAG_NAME, "button").click()
    cells = column(metered_page, "temperature")
    rises = [int(cell.partition("(")[2].removesuffix(" K)")) for cell in cells if cell != "n/a"]
    assert rises == sorted(rises)
    assert cells[-1] == "n/a"


@pytest.fixture
def narrow(browser: Chrome, report: Path) -> Iterator[Chrome]:
    """The report on a telephone."""
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield opened(browser, report, FIGURES)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def right_edges(page: Chrome, selector: str) -> list[float]:
    """Of every element that takes room."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].map((e) => e.getBoundingClientRect())"
        ".filter((box) => box.width > 0).map((box) => box.right)"
    )
    edges: list[float] = page.execute_script(script, selector)
    return edges


def test_a_narrow_screen_does_not_scroll_sideways(narrow: Chrome) -> None:
    assert narrow.execute_script("return document.documentElement.scrollWidth") <= 400


def test_on_a_narrow_screen_every_figure_fits_and_the_baseline_is_in_sight(narrow: Chrome) -> None:
    assert max(right_edges(narrow, "[data-figure] .main-svg")) <= 400
    script = (
        "const plot = document.querySelector('[data-figure=figure-pareto]');"
        "const trace = plot.calcdata.findIndex((points) => points[0].trace.name === 'baseline');"
        "const star = plot.querySelectorAll('.scatter')[trace].querySelector('.point');"
        "const box = star.getBoundingClientRect(); return [box.left, box.right]"
    )
    WebDriverWait(narrow, 10).until(lambda d: d.execute_script(script)[0] >= 0)
    left, right = narrow.execute_script(script)
    assert 0 <= left < right <= 400


def test_on_a_narrow_screen_tables_scroll_in_their_boxes(narrow: Chrome) -> None:
    widths = (
        "const box = document.querySelector('#runs').parentElement; return [box.clientWidth, box.scrollWidth]"
    )
    inside, whole = narrow.execute_script(widths)
    assert inside < 400 < whole


@pytest.fixture(params=[(680, ""), (980, ""), (680, "metered_")], ids=["portrait", "landscape", "metered"])
def paper(request: pytest.FixtureRequest, browser: Chrome) -> Iterator[tuple[Chrome, int]]:
    """A report as it is printed, on a page of so many pixels."""
    width, which = request.param
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened(browser, request.getfixturevalue(f"{which}report"), FIGURES)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield browser, width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_paper_cuts_neither_tables_nor_figures(paper: tuple[Chrome, int]) -> None:
    page, width = paper
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert max(right_edges(page, "th, td, [data-figure] .main-svg, pre")) <= width


def test_on_paper_every_value_of_a_run_has_the_name_of_its_column(paper: tuple[Chrome, int]) -> None:
    page, _ = paper
    script = (
        "const row = document.querySelector('#runs tr[data-outcome=OUT_OF_BUDGET]');"
        "return [...row.cells].filter((cell) => getComputedStyle(cell).display !== 'none')"
        ".map((cell) => getComputedStyle(cell, '::before').content)"
    )
    names = [text.strip('"').strip() for text in page.execute_script(script)]
    assert names[0] == "trial"
    assert {"energy (J)", "gross (J)", "seed", "lr", "reason"} <= set(names)
    assert not page.find_element(By.CSS_SELECTOR, "#runs thead").is_displayed()


def test_the_verdict_is_there_with_its_figure_and_without_a_complaint(
    browser: Chrome, confirmed_report: Path
) -> None:
    page = opened(browser, confirmed_report, FIGURES)
    assert page.find_element(By.ID, "verdict").is_displayed()
    assert page.find_element(By.CLASS_NAME, "kind").text == "✓ SAVES"
    assert len(page.find_elements(By.CSS_SELECTOR, "#clauses tbody tr")) == 8
    plot = page.find_element(By.CSS_SELECTOR, "[data-figure=figure-verdict]")
    assert len(plot.find_elements(By.CSS_SELECTOR, ".main-svg .point")) > 20
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert page.get_log("browser") == []
    assert not alert_is_present()(page)
