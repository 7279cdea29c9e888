"""The page in a real browser: filters, the matrix, the picture view, no complaint, no request.

And axe, the engine that finds what shuts people out, has nothing against it.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.evaluation.record import choose_examples
from braintumor.records import Predictions
from braintumor.report.page import Chart
from braintumor.report.write import render
from braintumor.statistics.metrics import compute_metrics
from chromium import CHROMIUM, Browser
from made_up import CLASSES, evaluation_of, misnamed_links

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

HOSTILE = ("$\\frac$", "<img src=x onerror=alert(1)>" + "x" * 300, "日本語", "</script><b>c")
CHARTED = ("performance", "calibration", "decisions")
CARDS = "document.querySelectorAll('.card').length"
FOUND = "document.getElementById('found').textContent"
FLOORS = {"majority class": (0.3, 0.4), "outer rim only": (0.9, 0.8)}
FIGURES = {"ece": 0.02, "ece_mass": 0.03, "brier": 0.1, "loss": 0.2}
KEPT = {"share": 0.9, "n": 90, "accuracy": 0.98, "accuracy_ci": (0.9, 0.99)}
UNFIT = {"confidence": None, "target": 0.02}
# of what the real page has, something in every section
SECTIONS = {
    "calibration": {"temperature": 1.2, "before": FIGURES, "after": FIGURES},
    "decision_summary": {
        "fitted_on": {"n": 200, "groups": 180, "temperature": 1.2},
        "abstention": {"aurc": 0.01, "kept": [KEPT], "fitted": UNFIT},
        **dict.fromkeys(("tumor_call", "sets", "foreign", "turned")),
    },
    "checks": {"deletion": {"value": 0.4, "meaning": "Lower is better.", "n": 16}},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Predictions]]:
    """pages(n, classes, paths): a report of n images, written once, and what it is of."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def page(n: int, classes: tuple[str, ...], paths: tuple[str, ...] | None):
        random = np.random.default_rng(0)
        labels = random.integers(0, 4, n)
        logits = random.normal(size=(n, 4)).astype(np.float32)
        logits[np.arange(n), labels] += 2
        names = paths or tuple(f"Testing/{k}/Image{i}.jpg" for i, k in enumerate(labels))
        p = Predictions(classes, names, labels, logits)
        images = np.zeros((n, 24, 24), np.uint8) if n < 1000 else None
        heat = np.linspace(0, 1, 24 * 24).reshape(24, 24)
        line = io.BytesIO()
        Image.new("RGB", (1500, 2)).save(line, "PNG")
        chart = Chart("Decisions", "Lines.", line.getvalue(), line.getvalue())
        evaluation = evaluation_of(
            p, np.arange(n) % 5 == 0, FLOORS, {"rim blanked": p}, images=images,
            heatmaps={choose_examples(p, 4)[0]: heat}, examples=4,
            metrics=compute_metrics(p) | {"accuracy_ci": (0.8, 0.9)},
            about={"model_name": "m", "command": "bt-train", "settings": {"seed": 17}},
            **SECTIONS,
        )  # fmt: skip
        html = render(evaluation, {section: [chart] for section in CHARTED})
        path = folder / f"{page.cache_info().misses}.html"
        path.write_bytes(html.encode("utf-8", "backslashreplace"))
        return path, p

    return page


@pytest.fixture
def opened(
    browser: Browser, pages: Callable[..., tuple[Path, Predictions]]
) -> Callable[..., tuple[Browser, Predictions]]:
    """opened(n, classes=…, paths=…): the browser with that page freshly open."""

    def open_page(n: int = 150, classes: tuple[str, ...] = tuple("abcd"), paths=None):
        path, p = pages(n, classes, paths)
        browser.run_scripts(allowed=True)
        browser.resize(1280, 900)
        browser.open(path)
        return browser, p

    return open_page


def _choose(browser: Browser, control: str, value: str) -> None:
    browser.run(
        f"(() => {{ const c = document.getElementById('{control}'); c.value = '{value}';"
        "c.dispatchEvent(new Event('input')); })()"
    )


def test_page_asks_for_nothing_and_the_console_is_silent(opened):
    browser, _ = opened()
    browser.click(".card")
    browser.press("ArrowRight")
    assert browser.problems == []
    assert [url for url in browser.asked if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in browser.asked if url.startswith("file:")]) == 1


def test_each_link_of_the_index_says_the_heading_that_it_leads_to(pages):
    page = pages(150, tuple("abcd"), None)[0].read_text(encoding="utf-8")
    assert misnamed_links(page) == []
    assert page.count(">Calibration</h2>") == 1


def test_filters_show_the_rows_that_they_name(opened):
    browser, p = opened()
    assert browser.run(CARDS) == 60
    _choose(browser, "by-truth", "2")
    _choose(browser, "by-right", "0")
    expected = int(((p.labels == 2) & (p.predicted != 2)).sum())
    assert expected > 0
    assert browser.run(CARDS) == expected
    assert browser.run(FOUND).startswith(f"{expected} of 150 images")
    browser.click("#reset")
    _choose(browser, "by-known", "1")
    assert browser.run(CARDS) == 30
    _choose(browser, "by-path", "IMAGE15.")
    assert browser.run(CARDS) == 1
    _choose(browser, "by-path", "no such file")
    assert browser.run(FOUND) == "0 of 150 images"


def test_orders_put_the_worst_the_surest_and_the_first_file_first(opened):
    browser, p = opened(paths=tuple(f"Image{150 - i}.jpg" for i in range(150)))
    first = "document.querySelector('.card .file').textContent"
    of_truth = p.probs[np.arange(150), p.labels]
    assert browser.run(first) == p.paths[int(of_truth.argmin())]
    _choose(browser, "by-order", "surest")
    assert browser.run(first) == p.paths[int(p.probs.max(axis=1).argmax())]
    _choose(browser, "by-order", "path")
    files = browser.run("[...document.querySelectorAll('.card .file')].map(e => e.textContent)")
    assert files == [f"Image{i}.jpg" for i in range(1, 61)]


def test_pages_of_cards_cover_all_rows_once(opened):
    browser, p = opened()
    seen = []
    for _ in range(3):
        code = "[...document.querySelectorAll('.card .file')].map(e => e.textContent)"
        seen += browser.run(code)
        browser.run("document.getElementById('later').click()")
    assert sorted(seen) == sorted(p.paths)
    assert browser.run("document.getElementById('later').disabled")


def test_cell_of_the_matrix_opens_the_pictures_behind_it(opened):
    browser, p = opened()
    _choose(browser, "by-path", "no such file")
    k, j = next(
        (k, j) for k in range(4) for j in range(4)
        if k != j and ((p.labels == k) & (p.predicted == j)).any()
    )  # fmt: skip
    browser.click(f'td[data-truth="{k}"][data-guess="{j}"] button')
    assert browser.run(CARDS) == int(((p.labels == k) & (p.predicted == j)).sum())
    assert browser.run("document.activeElement.id") == "pictures-h"


def test_picture_view_walks_by_arrows_and_gives_the_focus_back(opened):
    browser, p = opened()
    order = np.argsort(p.probs[np.arange(150), p.labels], kind="stable")
    file = "[...document.querySelectorAll('#viewer-facts dd')].map(e => e.textContent)"
    browser.run("document.querySelector('.card').focus()")
    browser.press("Enter")
    assert browser.run("document.getElementById('viewer').open")
    assert p.paths[order[0]] in browser.run(file)
    browser.press("ArrowLeft")  # nothing is before the first
    assert p.paths[order[0]] in browser.run(file)
    for _ in range(60):
        browser.run("document.getElementById('viewer-later').click()")
    browser.press("ArrowRight")
    assert p.paths[order[61]] in browser.run(file)
    said = browser.run("document.querySelector('#viewer-probs .top .number').textContent")
    assert said == f"{p.probs[order[61]].max():.4f}"
    browser.press("Escape")
    assert not browser.run("document.getElementById('viewer').open")
    focused = "document.activeElement.querySelector('.file')?.textContent"
    browser.until(f"{focused} === {json.dumps(p.paths[order[61]])}")


def test_heat_map_can_be_faded_and_switched_off(opened):
    browser, p = opened()
    with_heat, without, *_ = choose_examples(p, 4)
    opacity = "getComputedStyle(document.getElementById('viewer-heat')).opacity"
    browser.click(f'figure[data-index="{with_heat}"] button')
    assert browser.run(opacity) == "0.7"
    _choose(browser, "heat-strength", "20")
    assert browser.run(opacity) == "0.2"
    browser.run("document.getElementById('heat-strength').focus()")
    browser.press("ArrowRight")  # moves the slider and not the picture
    assert browser.run(opacity) == "0.21"
    browser.click("#heat-on")
    assert browser.run(opacity) == "0"
    browser.click("#viewer-close")
    browser.click(f'figure[data-index="{without}"] button')
    assert browser.run("document.getElementById('viewer-heat-tools').hidden")


def test_hostile_names_stay_text(opened):
    paths = ("<img src=x onerror=alert(1)>.jpg", "</script><script>alert(2)</script>", "é" * 300)
    paths += ("\udcff\u202egpj.exe",)
    browser, p = opened(n=4, paths=paths, classes=HOSTILE)
    assert browser.run(CARDS) == 4
    shown = []
    browser.click(".card")
    for _ in range(4):
        shown += browser.run(
            "[...document.querySelectorAll('#viewer-facts dd')].map(e => e.textContent)"
        )
        browser.press("ArrowRight")
    assert set(paths[:3]) <= set(shown)
    assert {p.classes[k] for k in p.labels} <= set(shown)
    assert browser.problems == []
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.run("document.scripts.length") == 2


@pytest.mark.parametrize("width", [375, 1280])
def test_page_never_scrolls_sideways(opened, width):
    browser, _ = opened(classes=HOSTILE)
    browser.resize(width, 800)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.click(".card")
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_page_still_reads(browser, pages):
    browser.run_scripts(allowed=False)
    browser.open(pages(150, tuple("abcd"), None)[0])
    shown = (
        "[...document.querySelectorAll('main section')]"
        ".filter(e => e.checkVisibility()).map(e => e.id)"
    )
    ids = browser.run(shown)
    browser.run_scripts(allowed=True)
    assert {"verdict", "figures", "confusion", "examples", "card", "checklists"} <= set(ids)
    assert "pictures" not in ids


def test_twenty_thousand_rows_stay_quick(opened):
    """Generous: a filter over all rows and its cards within a second."""
    browser, _ = opened(n=20_000)
    took = browser.run(
        "(() => { const start = performance.now(), c = document.getElementById('by-order');"
        "c.value = 'path'; c.dispatchEvent(new Event('input'));"
        "document.body.offsetHeight; return performance.now() - start; })()"
    )
    assert took < 1000
    assert browser.run(CARDS) == 60


@pytest.mark.parametrize(("width", "is_dark"), [(1280, False), (390, True)])
def test_axe_finds_nothing_on_the_page_and_in_the_picture_view(opened, width, is_dark):
    browser, p = opened(n=24)
    browser.resize(width, 844, dark=is_dark)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.audit() == ""
    browser.click(f'figure[data-index="{choose_examples(p, 4)[0]}"] button')
    assert browser.run("document.getElementById('viewer').open")
    assert browser.audit() == ""


def test_a_phone_shows_everything_whole(opened):
    """Nothing passes the edge, and no table or text has to be pushed sideways."""
    browser, _ = opened(classes=("glioma", "meningioma", "no_tumor", "pituitary"))
    browser.resize(390, 844)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    beyond = browser.run(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.broad, svg, .unseen')"
        " && e.getBoundingClientRect().right > 390.5).map(e => e.outerHTML.slice(0, 90))"
    )
    assert beyond == []
    pushed = browser.run(
        "[...document.querySelectorAll('.scroll, pre')].filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => e.outerHTML.slice(0, 90))"
    )
    assert pushed == []


def test_long_parts_are_folded_and_a_link_or_paper_unfolds_them(opened):
    browser, _ = opened()
    is_open = "document.querySelector('#calibration > details').open"
    assert not browser.run(is_open)
    browser.click('nav a[href="#calibration"]')
    browser.until(is_open)
    folded = "document.querySelectorAll('details:not([open])').length"
    before = browser.run(folded)
    assert before > 3
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run(folded) == 0
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    assert browser.run(folded) == before


def _hard(path: Path) -> Path:
    """All that can be held against a result at once: copies, an emptied class, floors, a fall."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 1311)
    logits = random.normal(size=(1311, 4)).astype(np.float32) + 2 * np.eye(4)[labels]
    p = Predictions(CLASSES, tuple(f"{i}.jpg" for i in range(1311)), labels, logits)
    known = (random.random(1311) < 0.7) | (labels == 2)
    history = pd.DataFrame({"val_accuracy": [0.97], "is_best": [True]})
    about = {"model_name": "mobilenetv2_035_mhsa", "data_name": "nickparvar", "history": history}
    about["images"] = {"train": 5000, "val": 574}
    path.write_text(render(evaluation_of(p, known, FLOORS, about=about), {}), encoding="utf-8")
    return path


def test_the_result_takes_half_a_page_of_paper_and_ends_it(browser, tmp_path):
    """A4 less Chromium's own margins: 718 x 1047 px."""
    browser.open(_hard(tmp_path / "hard.html"))
    said = browser.run("document.querySelectorAll('#verdict .caution li').length")
    assert said >= 4
    browser.resize(718, 1000)
    browser.print_media(is_on=True)
    try:
        bottom = "document.getElementById('verdict').getBoundingClientRect().bottom + scrollY"
        assert browser.run(bottom) < 1047 / 2
        ending = "getComputedStyle(document.getElementById('verdict')).breakAfter"
        assert browser.run(ending) == "page"
    finally:
        browser.print_media(is_on=False)


_TOO_WIDE = """[...document.querySelectorAll('.confusion td :is(b, small)')].filter(e => {
  const text = document.createRange(), cell = e.closest('td').getBoundingClientRect();
  text.selectNodeContents(e);
  const { left, right } = text.getBoundingClientRect();
  return left < cell.left - 0.5 || right > cell.right + 0.5;
}).map(e => e.textContent)"""


@pytest.mark.parametrize("count", [4, 24])
def test_paper_holds_the_width_of_everything(browser, tmp_path, count):
    """Nothing scrolls on paper: what is broader than an A4 page would be cut, or shrink it all."""
    random = np.random.default_rng(0)
    labels = np.arange(240) % count
    logits = random.normal(size=(240, count)).astype(np.float32)
    logits += np.where(np.arange(count) % 2, 9, 3) * np.eye(count)[labels]  # some are 100.0 % right
    classes = tuple(f"{k} pilocytic_astrocytoma_{'x' * (30 if k % 2 else 3)}" for k in range(count))
    p = Predictions(classes, tuple(f"{i:0>80}.jpg" for i in range(240)), labels, logits)
    page = tmp_path / "broad.html"
    about = {"command": f"bt-train data.root={'x' * 300}", "settings": {"seed": 17}}
    evaluation = evaluation_of(
        p, labels == 1, FLOORS, {"rim blanked": p}, examples=4, about=about, **SECTIONS
    )
    page.write_text(render(evaluation, {}), encoding="utf-8")
    browser.open(page)
    browser.resize(718, 1047)
    browser.print_media(is_on=True)
    try:
        browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        beyond = browser.run(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.unseen')"
            " && (e.getBoundingClientRect().right > 718.5 || e.matches('th, pre')"
            " && e.scrollWidth > e.clientWidth + 1)).map(e => e.outerHTML.slice(0, 90))"
        )
        assert beyond == []
        assert browser.run(_TOO_WIDE) == []
        assert browser.run("document.documentElement.scrollWidth") <= 718
    finally:
        browser.print_media(is_on=False)


def test_paper_shows_what_is_folded_and_breaks_no_row_or_picture(browser, pages):
    """Without a script that unfolds it before, as where scripts are off."""
    browser.run_scripts(allowed=False)
    browser.open(pages(150, tuple("abcd"), None)[0])
    browser.print_media(is_on=True)
    try:
        for name, is_seen in (("#calibration table", True), ("#card dl", True), ("nav", False)):
            of = f"document.querySelector('{name}')"
            assert browser.run(f"{of}.checkVisibility()") == is_seen
            assert browser.run(f"{of}.getBoundingClientRect().height > 20") == is_seen
        for name in ("main figure", "tr", ".tiles div", ".caution"):
            style = f"getComputedStyle(document.querySelector('{name}'))"
            assert browser.run(f"{style}.breakInside") == "avoid"
    finally:
        browser.print_media(is_on=False)
        browser.run_scripts(allowed=True)
