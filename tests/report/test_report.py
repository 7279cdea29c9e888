"""The page: self-contained, harmless, and true to its figures."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import pickle
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from braintumor.data.manifest import Patients
from braintumor.evaluation.provenance import KnownPatients
from braintumor.records import Predictions
from braintumor.report import verdict
from braintumor.report.page import Chart
from braintumor.report.texts import percent
from braintumor.report.write import render
from braintumor.statistics.metrics import classification_report, compute_metrics
from made_up import evaluation_of

HOSTILE = ("$\\frac$", "<img src=x onerror=alert(1)>" + "x" * 300, "日本語", '"><script>alert(2)')
ALL_KNOWN = KnownPatients(*(Patients(120, 120, 30) for _ in range(3)))
COPIES = "It is not known whether the model has seen some of these images, or copies of them"
_VOID = {"meta", "img", "source", "circle", "rect", "input"}


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
        if "script" not in self.open and "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def _render(p: Predictions, *known, patients=None, **about) -> str:
    """known: of copies, baselines and occlusion tests, as evaluation_of takes them."""
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG")
    png = buffer.getvalue()
    chart = Chart("Calibration", "How sure, how right.", png, png)
    evaluation = evaluation_of(
        p, *known, patients=patients, about=about, images=np.zeros((len(p), 16, 16), np.uint8),
        heatmaps={i: np.zeros((16, 16)) for i in range(min(6, len(p)))},
    )  # fmt: skip
    return render(evaluation, {"performance": [chart]})


@pytest.mark.parametrize("is_hostile", [False, True])
def test_page_loads_nothing_and_runs_its_own_script_alone(make_predictions, is_hostile):
    p = make_predictions(classes=HOSTILE) if is_hostile else make_predictions()
    about = {"model_name": HOSTILE[1], "data_name": HOSTILE[3], "command": HOSTILE[3]}
    page = _Page(_render(p, **about, settings={HOSTILE[1]: HOSTILE[3]}))
    assert not page.open
    names = {tag for tag, _ in page.tags}
    assert not names & {"iframe", "object", "embed", "form", "link", "base", "audio"}
    assert [attrs.get("type") for attrs in page.all("script")] == ["application/json", None]
    assert all("src" not in attrs for attrs in page.all("script"))
    for tag, attrs in page.tags:
        assert not [key for key in attrs if key.startswith("on") or key == "style"], tag
        for key in ("src", "srcset", "poster", "data", "action"):
            assert (attrs.get(key) or "data:image/").startswith("data:image/"), tag
        assert (attrs.get("href") or "#").startswith("#")


def test_policy_allows_inlined_pictures_this_style_sheet_and_this_script(make_predictions):
    html = _render(make_predictions())
    page = _Page(html)
    policy = next(a for a in page.all("meta") if a.get("http-equiv"))["content"]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in script
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
    text = _Page(_render(p, model_name="m", command=command, settings={"seed": 17}, folds=4)).text
    assert classification_report(p) in text
    assert "bt-train 'data.root=my data'" in text
    assert "seed: 17" in text
    assert "folds: 4" in text
    assert f"{compute_metrics(p)['macro_f1']:.4f}" in text
    assert COPIES in text


def test_page_of_a_class_without_images_shows_a_dash():
    labels = np.array([0, 0, 0, 1, 1, 1])
    p = Predictions(("a", "b", "c"), tuple("123456"), labels, np.eye(3)[labels])
    html = _render(p)
    assert not re.search(r"\bnan\b", _Page(html).text.lower())
    assert re.search("<td[^>]*>–", html)
    assert html.count("over 2 of 3 classes") == 4  # balanced accuracy, macro F1 and the rankings
    assert "There is no image of c here: means over classes are over a and b." in html


def test_verdict_names_the_weakest_class_and_what_it_is_taken_for():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    guess = np.array([0, 0, 0, 1, 2, 1, 2])
    p = Predictions(("a", "b", "c"), tuple("1234567"), labels, np.eye(3)[guess])
    evaluation = evaluation_of(p, metrics=compute_metrics(p), about={"data_name": "nickparvar"})
    assert verdict.headline(evaluation) == (
        "5 of 7 images in the test split of nickparvar are classified correctly: "
        "accuracy 71.4\u00a0%."
    )
    (weakest,) = verdict.findings(evaluation)
    assert weakest == (
        "Weakest class: b. 1 of its 2 images is missed (recall 50.0\u00a0%), most often taken "
        "for c (1)."
    )


def test_images_of_all_splits_are_not_called_a_split(make_predictions):
    evaluation = evaluation_of(make_predictions(8), split="all", about={"data_name": "mri"})
    text = _Page(render(evaluation, {})).text
    assert verdict.headline(evaluation).startswith("8 of 8 images of mri are")
    assert "whole data set · 8 images" in text
    assert "all split " not in text and "all split:" not in text


def test_verdict_tells_of_absent_and_silent_classes():
    labels = np.array([0, 0, 1])
    p = Predictions(("a", "b", "c"), tuple("123"), labels, np.eye(3)[[0, 0, 0]])
    _, absent, silent = verdict.findings(evaluation_of(p))
    assert "no image of c" in absent
    assert "never answers b" in silent


def test_verdict_cautions_by_split_and_by_what_is_known_of_copies(make_predictions):
    def said(split, known):
        contaminated = None if known is None else np.arange(8) < known
        p = make_predictions(8)
        return verdict.cautions(evaluation_of(p, contaminated, patients=ALL_KNOWN, split=split))

    (unknown,) = said("test", None)
    assert unknown.startswith(COPIES)
    assert said("test", 0) == []
    assert "knows 2 of these 8 images (25.0\u00a0%)" in " ".join(said("test", 2))
    assert "trained on" in said("train", None)[0]
    assert "chosen on these" in said("val", 0)[0]


def test_page_shows_three_figures_side_by_side(make_predictions, floors):
    """All images, those without a copy with their counts, and the best floor, by hand."""
    p = make_predictions(n=120, skill=3.0)
    contaminated = np.arange(120) % 4 != 0
    is_right = p.labels == p.predicted
    page = _Page(_render(p, contaminated, floors, None))
    start = page.text.index("Accuracy, all images")
    three = page.text[start : page.text.index("Copies in training", start)]
    assert f"{is_right.mean():.1%}".replace("%", "\u00a0%") in three
    assert f"{is_right[~contaminated].mean():.1%}".replace("%", "\u00a0%") in three
    counts = [int((p.labels[~contaminated] == k).sum()) for k in range(4)]
    listed = ", ".join(f"{c} {n}" for c, n in zip(p.classes, counts, strict=True))
    assert f"n = 30 ({listed})" in three
    assert "90.0\u00a0%" in three
    assert "eight intensity statistics, all images; without copies 70.0\u00a0%" in three
    assert "90 of 120 images are known to the model from its training (75.0\u00a0%)" in page.text
    assert "No overall figure can be quoted" in three


def test_page_of_a_clean_split_says_so_and_warns_of_nothing(make_predictions, floors):
    p = make_predictions(n=120, skill=9.0)
    clean = np.zeros(120, bool)
    page = _Page(_render(p, clean, floors, patients=ALL_KNOWN))
    assert "None of the 120 images" in page.text
    assert "None is of a patient with other images in training." in page.text
    for column in ("Without a copy", "without copies", "Without copies<"):
        assert column not in page.text  # no second column of the same figures
    assert not [attrs for _, attrs in page.tags if attrs.get("class") == "caution"]


def test_small_classes_of_a_clean_split_are_not_blamed_on_copies(make_predictions):
    p = make_predictions(n=40)
    page = _Page(_render(p, np.zeros(40, bool), None, None))
    assert "There are fewer than 20 images of glioma" in page.text
    assert "split=grouped" not in page.text


def test_page_opens_with_what_how_good_and_what_not_to_believe(make_predictions, floors):
    """Whoever prints the first page alone has it all there."""
    about = {"model_name": "net", "data_name": "mri", "images": {"train": 800}}
    text = _Page(_render(make_predictions(), np.arange(120) < 90, floors, **about)).text
    text = text[text.index("Evaluation report") :]
    top = text[: text.index("Copies in training\n")]
    parts = (
        "net, trained on mri, 800 images", "test split: glioma", "not a medical device",
        "How good it is", "What not to believe", "No overall figure can be quoted",
        "The model knows 90 of these 120", "The model is worse than a simple rule",
        "Patients are not known",
    )  # fmt: skip
    places = [top.index(part) for part in parts]
    assert places == sorted(places)
    assert top.count("No overall figure can be quoted") == 1


@pytest.mark.parametrize("word", ["AURC", "nats", "Conformal", "MCC", "AUROC", "AUPRC", "ECE",
    "Brier", "CI", "IoU", "SSIM", "temperature", "Macro F1"])  # fmt: skip
def test_every_hard_word_has_a_line_of_plain_english(make_predictions, word):
    html = _render(make_predictions())
    words = html[html.index('<section id="words"') :]
    assert re.search(rf"<dt>[^<]*{word}[^<]*</dt><dd>[^<]{{40,}}</dd>", words)


def test_page_names_floors_and_what_blanking_leaves(make_predictions, floors):
    p = make_predictions(n=120)
    blanked = {"rim blanked": p, "centre blanked": make_predictions(n=120, skill=0.0)}
    html = _render(p, np.arange(120) < 60, floors, blanked)
    page = _Page(html)
    assert not page.open
    section = page.text[page.text.rindex("Floors\n") :]
    assert section.index("eight intensity statistics") < section.index("majority class")
    assert "70.0\u00a0%" in section
    whole = f"{(p.labels == p.predicted).mean():.1%}".replace("%", "\u00a0%")
    assert section.count(whole) >= 2  # whole picture, and rim blanked
    bars = [float(attrs["width"]) for tag, attrs in page.tags if attrs.get("class") == "fill"]
    assert 70.0 in bars  # as long as it says, on any screen
    assert "centre blanked" in section
    assert "Accuracy without copies" in section
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert {"copies", "floors"} <= set(ids)


def test_page_without_knowledge_of_copies_shows_dashes(make_predictions):
    page = _Page(_render(make_predictions()))
    start = page.text.index("Without copies in training")
    assert "–" in page.text[start : start + 40]
    assert "not known" in page.text[start : start + 90]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.5, "50.0"), (1.0, "100.0"), (1 - 1e-16, "100.0"), (0.9999, "99.99"),
        (0.0, "0.0"), (1e-17, "0.0"),
        (0.0004, "0.04"), (1e-5, "0.001"), (0.0005, "0.1"),
    ],
)  # fmt: skip
def test_percent_never_rounds_to_all_or_nothing(share, text):
    assert percent(share) == f"{text}\u00a0%"


def test_page_can_be_made_again_from_the_record_alone(make_predictions, floors, history):
    p = make_predictions(n=40)
    evaluation = evaluation_of(
        p, np.arange(40) < 9, floors, {"rim blanked": p}, images=np.zeros((40, 16, 16), np.uint8),
        heatmaps={3: np.ones((16, 16))}, about={"model_name": "m", "history": history},
    )  # fmt: skip
    page = render(evaluation)
    assert page == render(pickle.loads(pickle.dumps(evaluation)))
    assert "Loss and accuracy over the epochs" in page
