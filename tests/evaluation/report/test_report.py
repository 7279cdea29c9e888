"""The page: self-contained, harmless, and true to its figures."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from braintumor.evaluation.metrics import classification_report, compute_metrics
from braintumor.evaluation.report import verdict
from braintumor.evaluation.report.render import Chart, Example, render_report
from braintumor.records import Predictions

HOSTILE = ("$\\frac$", "<img src=x onerror=alert(1)>" + "x" * 300, "日本語", '"><script>alert(2)')
_VOID = {"meta", "img", "source", "circle", "rect"}


class _Page(HTMLParser):
    """Tags with their attributes, the text, and whether all tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def _render(p: Predictions, split: str = "test", **about) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG")
    png = buffer.getvalue()
    image = np.zeros((16, 16), np.uint8)
    chart = Chart("Calibration", "How sure, how right.", png, png)
    return render_report(
        p,
        compute_metrics(p),
        split=split,
        about=about,
        charts={"performance": [chart], "training": [], "data": []},
        examples=[Example(i, image, np.zeros((16, 16, 3), np.uint8)) for i in range(6)],
    )


@pytest.mark.parametrize("is_hostile", [False, True])
def test_page_loads_and_runs_nothing(make_predictions, is_hostile):
    p = make_predictions(classes=HOSTILE) if is_hostile else make_predictions()
    about = {"model_name": HOSTILE[1], "data_name": HOSTILE[3], "command": HOSTILE[3]}
    page = _Page(_render(p, **about, settings={HOSTILE[1]: HOSTILE[3]}))
    assert not page.open
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "form", "link", "base", "audio"}
    for tag, attrs in page.tags:
        assert not [key for key in attrs if key.startswith("on") or key == "style"], tag
        for key in ("src", "srcset", "poster", "data", "action"):
            assert (attrs.get(key) or "data:image/").startswith("data:image/"), tag
        assert (attrs.get("href") or "#").startswith("#")


def test_policy_allows_inlined_pictures_and_this_one_style_sheet(make_predictions):
    html = _render(make_predictions())
    page = _Page(html)
    policy = next(a for a in page.all("meta") if a.get("http-equiv"))["content"]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_are_shown_as_text(make_predictions):
    html = _render(make_predictions(classes=HOSTILE))
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html
    assert "日本語" in html
    assert "$\\frac$" in html


def test_every_picture_has_a_text_and_every_link_a_target(make_predictions):
    page = _Page(_render(make_predictions()))
    assert all(attrs["alt"] for attrs in page.all("img"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["href"][1:] in ids for attrs in page.all("a"))
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_page_says_the_figures_command_and_settings(make_predictions):
    p = make_predictions()
    command = ["bt-train", "data.root=my data"]
    text = _Page(_render(p, model_name="m", command=command, settings={"seed": 17}, kept=4)).text
    assert classification_report(p) in text
    assert "bt-train 'data.root=my data'" in text
    assert "seed: 17" in text
    assert "kept: 4" in text
    assert f"{compute_metrics(p)['macro_f1']:.4f}" in text
    assert verdict.COPIES in text


def test_page_of_a_class_without_images_shows_a_dash():
    labels = np.array([0, 0, 0, 1, 1, 1])
    p = Predictions(("a", "b", "c"), tuple("123456"), labels, np.eye(3)[labels])
    html = _render(p)
    assert "nan" not in _Page(html).text.lower()
    assert "<td>–" in html


def test_verdict_names_the_weakest_class_and_what_it_is_taken_for():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    guess = np.array([0, 0, 0, 1, 2, 1, 2])
    p = Predictions(("a", "b", "c"), tuple("1234567"), labels, np.eye(3)[guess])
    metrics = compute_metrics(p)
    assert verdict.headline(p, metrics, "test", "nickparvar") == (
        "5 of 7 images in the test split of nickparvar are classified correctly: "
        "accuracy 71.4\u00a0%."
    )
    (weakest,) = verdict.findings(p, metrics)
    assert weakest == (
        "Weakest class: b. 1 of its 2 images are missed (recall 50.0\u00a0%), most often taken "
        "for c (1)."
    )


def test_verdict_tells_of_absent_and_silent_classes():
    labels = np.array([0, 0, 1])
    p = Predictions(("a", "b", "c"), tuple("123"), labels, np.eye(3)[[0, 0, 0]])
    _, absent, silent = verdict.findings(p, {})
    assert "no image of c" in absent
    assert "never answers b" in silent


def test_verdict_cautions_by_split():
    assert verdict.cautions("test") == [verdict.COPIES]
    assert "trained on" in verdict.cautions("train")[0]
    assert "chosen on these" in verdict.cautions("val")[0]


@pytest.mark.parametrize(("share", "text"), [(0.5, "50.0"), (1.0, "100.0"), (0.9999, "99.99")])
def test_percent_never_rounds_up_to_perfection(share, text):
    assert verdict.percent(share) == f"{text}\u00a0%"
