"""data.class_names: numbers get their names, in every format, and every output has the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braintumor.data.dataset import check_options, read_dataset
from braintumor.errors import BraintumorError
from braintumor.workflows.compose import compose
from support import QUICK, Command

NAMES = ("no_tumor", "glioma", "meningioma")  # of 0, 1, 2: not in the order of the alphabet
COUNTS = {"no_tumor": 8, "glioma": 10, "meningioma": 12}
GIVEN = "data.class_names=[No Tumor,glioma_tumor,meningioma]"
pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures, labelled 0, 1 and 2, in every format."""
    root, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], list(COUNTS.values()))
    pixels = (
        rng.integers(0, 200, (len(labels), 16, 16), dtype=np.uint8) // 2
        + 50 * labels.astype(np.uint8)[:, None, None]
    )
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        for folder in (root / "folder" / f"{label}", root / "named" / f"class_{label}"):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{number}.png")
    shutil.make_archive(str(root / "packed"), "zip", root / "folder")
    np.savez(root / "numbers.npz", X=pixels, Y=labels)
    np.savez(root / "one_hot.npz", X=pixels, Y=np.eye(3)[labels])
    (root / "npy").mkdir()
    np.save(root / "npy/X.npy", pixels)
    np.save(root / "npy/Y.npy", labels[:, None].astype(float))
    rows = {"path": [f"folder/{label}/{i}.png" for i, label in enumerate(labels)], "label": labels}
    pd.DataFrame(rows).to_csv(root / "table.csv", index=False)
    pd.DataFrame(rows | {"label": labels.astype(float)}).to_csv(root / "floats.csv", index=False)
    return root


FORMATS = {
    "folder": ["data=folder", "data.root=folder"],
    "named": ["data=folder", "data.root=named"],
    "zip": ["data=archive", "data.root=packed.zip"],
    "npz": ["data=npz", "data.root=numbers.npz"],
    "one-hot": ["data=npz", "data.root=one_hot.npz"],
    "npy": ["data=npz", "data.root=npy"],
    "table": ["data=table", "data.table=table.csv"],
    "floats": ["data=table", "data.table=floats.csv"],
}


@pytest.mark.parametrize("words", FORMATS.values(), ids=FORMATS)
def test_every_format_names_its_numbers(
    sets: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(sets)
    options = compose("data", [*words, GIVEN], {}).settings["data"]
    data = read_dataset(options, 16)
    assert data.classes == tuple(sorted(NAMES))
    assert data.manifest["label"].value_counts().to_dict() == COUNTS
    two = read_dataset(options | {"binary": True}, 16).manifest["label"].value_counts()
    assert two.to_dict() == {"tumor": 22, "no_tumor": 8}


def test_all_outputs_have_the_same_names(bt: Command, sets: Path, tmp_path: Path) -> None:
    """Of folds, of their evaluation on a set numbered otherwise, of answers and a comparison."""
    small = [word for word in QUICK if not word.startswith("data.patients")]
    small += ["data.image_size=16", "folds=2", "eval.views=1", f"run_dir={tmp_path}/run"]
    done = bt("train", *small, *FORMATS["npz"], GIVEN, cwd=sets, code=0)
    assert "named no_tumor: class_0" in done.stdout
    for new, old in enumerate((2, 0, 1)):
        shutil.copytree(sets / f"folder/{old}", sets / f"other/{new}")
    other = ["data=folder", "data.root=other", "data.class_names=[meningioma,no_tumor,glioma]"]
    ckpt = f"ckpt={tmp_path}/run"
    for name, words in {
        "eval": [ckpt, *other, "split=all", "eval.heatmaps=0", "eval.examples=0"],
        "predict": [ckpt, "input=folder/0", "overlays=0"],
        "compare": [f"runs=[{tmp_path}/run]"],
    }.items():
        bt(name, *words, f"run_dir={tmp_path}/{name}", cwd=sets, code=0)
    counts = pd.read_csv(tmp_path / "eval/predictions.csv")["true"].value_counts()
    assert counts.to_dict() == COUNTS
    pages = [
        file for end in ("html", "csv", "json", "md", "txt") for file in tmp_path.rglob(f"*.{end}")
    ]
    assert len(pages) > 20
    for page in pages:
        if page.name != "environment.json":
            assert "class_0" not in page.read_text("utf-8"), page
    columns = [f"prob_{name}" for name in sorted(NAMES)]
    for table in tmp_path.rglob("predictions.csv"):
        read = pd.read_csv(table)
        assert [name for name in read if name.startswith("prob_")] == columns
        assert set(read["pred"]) <= set(NAMES)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["a", "b"], "there is a label 2, but data.class_names names only 2"),
        ({0: "a", 1: "b", 2: "c"}, r"should be the list .* use 'data.class_names=\[a,b,c\]'"),
        ({"b": 1, "a": 0, "c": 2}, r"use 'data.class_names=\[a,b,c\]'"),
        ({"x": "a"}, r"should be the list of the names of 0, 1, …$"),
        ("a,b,c", "should be a list"),
        (["a", 1, "c"], "should be a text"),
        (["a", "!", "c"], "has no letter or digit"),
        (["T1 C", "t1_c", "T1C"], None),
    ],
)
def test_names_that_do_not_fit_are_refused(sets: Path, given: object, reason: str | None) -> None:
    options = compose("data", [], {"data": {"name": "npz", "root": sets / "numbers.npz"}}).settings
    options = options["data"] | {"class_names": given}
    if reason is None:
        assert read_dataset(options, 16).classes
        return
    with pytest.raises(BraintumorError, match=reason):
        check_options(options)
        read_dataset(options, 16)


def test_names_without_an_image_and_names_given_twice_are_said(bt: Command, sets: Path) -> None:
    """As where labels begin at 1 and one name too many hides it."""
    words = ["data=npz", "data.root=numbers.npz", "data.class_names=[no,glioma,glioma,pituitary]"]
    done = bt("data", *words, "run_dir=said", cwd=sets, code=0)
    assert "  joined into glioma: class_1, class_2" in done.stdout
    assert "  named no_tumor: class_0" in done.stdout
    assert "  no image is of pituitary, which data.class_names names" in done.stdout
