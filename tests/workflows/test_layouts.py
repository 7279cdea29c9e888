"""Public data sets as they are unpacked: what bt-data asks, and that every answer works pasted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from support import Command, noise_pictures
from test_bad_input import assert_one_sentence

CLASSES = ("no_tumor", "glioma", "meningioma", "pituitary")
# what each set holds, and what bt-data says of it: None where there is one reading
SETS = {
    "br35h": ["no", "yes", "pred", *(f"Br35H-Mask-RCNN/{s}" for s in ("TRAIN", "VAL", "TEST"))],
    "pmram": [
        f"{kind} Data/{kind}/512{name}"
        for kind in ("Raw", "Augmented")
        for name in ("Normal", "Glioma", "Meningioma")
    ],
    "brisc2025": [
        f"{task}_task/{split}/{name}"
        for task, names in (("classification", CLASSES), ("segmentation", ("images", "masks")))
        for split in ("train", "test")
        for name in names
    ],
    "unlabelled": ["train/no_tumor", "train/glioma", "test/test"],
    "numbered": ["train/0", "train/1", "test/no", "test/yes"],
    "planes": [f"{p}/{s}/{c}" for p in ("T1", "T2") for s in ("train", "test") for c in CLASSES],
}


def offered(stderr: str) -> list[str]:
    lines = [line.strip() for line in stderr.splitlines() if line.startswith("  ")]
    return [re.split(r"  +", line, maxsplit=1)[0] for line in lines]


def test_what_is_not_known_is_asked_and_the_answer_works_when_pasted(
    bt: Command, tmp_path: Path
) -> None:
    """Classes that are numbers, with a numbered folder for each patient: nothing is assumed."""
    folders = [f"set/{label}/{patient:04}" for label in (1, 2, 3) for patient in range(9)]
    noise_pictures(tmp_path, folders, count=2)
    command = ["data=folder", "data.root=set", "data.image_size=32"]
    first = bt("data", *command, "run_dir=first", cwd=tmp_path, code=0).stdout
    assert pd.read_csv(tmp_path / "first/manifest.csv")["patient"].isna().all()
    pasted = re.findall(r"say (?:so|what each is): ('.*')$", first, re.M)
    assert len(pasted) == 2
    words = shlex.split(" ".join(pasted))
    second = bt("data", *command, *words, "run_dir=second", cwd=tmp_path, code=0).stdout
    manifest = pd.read_csv(tmp_path / "second/manifest.csv", dtype=str)
    assert sorted(set(manifest["label"])) == ["name_of_1", "name_of_2", "name_of_3"]
    assert sorted(set(manifest["patient"])) == [f"{number:04}" for number in range(9)]
    assert "9 of 9 patients have images of several classes" in second
    assert "say so" not in second
    assert "say what each is" not in second


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_reading_that_is_printed_works_when_pasted(
    bt: Command, tmp_path: Path, name: str
) -> None:
    noise_pictures(tmp_path / name, SETS[name])
    command = ["data=folder", f"data.root={name}", "data.image_size=32", "run_dir=out"]
    refused = bt("data", *command, cwd=tmp_path, code=2)
    assert_one_sentence(refused.stderr)
    readings = offered(refused.stderr)
    assert len(readings) > 1
    assert not (tmp_path / "out").exists()
    seen = set()
    for number, words in enumerate(readings):
        bt(
            "data", *command, *shlex.split(words), f"run_dir=out{number}", cwd=tmp_path, code=0
        )  # fmt: skip
        table = pd.read_csv(tmp_path / f"out{number}" / "classes.csv")
        seen.add(tuple(table["label"]) + tuple(table["total"]))
    assert len(seen) == len(readings) or name in ("pmram", "planes")  # whose parts are of one size


@pytest.mark.parametrize("more", [[], ["data.binary=true"], ["split=stratified"]])
def test_neither_binary_nor_a_split_hides_the_question(
    bt: Command, tmp_path: Path, more: list[str]
) -> None:
    for name in ("br35h", "unlabelled"):
        noise_pictures(tmp_path / name, SETS[name], count=2)
        done = bt("data", "data=folder", f"data.root={name}", *more, cwd=tmp_path, code=2)
        assert "can be read in two ways" in done.stderr
        assert_one_sentence(done.stderr)


def test_splits_named_in_words_are_read_outright(bt: Command, tmp_path: Path) -> None:
    splits = ("Train_Data", "Validation_Data", "Test_Data")
    noise_pictures(tmp_path / "sets", [f"{s}/{c}" for s in splits for c in ("no_tumor", "glioma")])
    bt(
        "data", "data=folder", "data.root=sets", "data.image_size=32", "run_dir=out", cwd=tmp_path,
        code=0,
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "out" / "classes.csv", index_col="label")
    assert table.loc["glioma"].to_dict() == {"train": 8, "val": 8, "test": 8, "total": 24}


@pytest.mark.slow
def test_classes_that_differ_in_a_sign_are_trained_and_reported_apart(
    bt: Command, tmp_path: Path
) -> None:
    """From the folder to every table: T1C+ and T1C- are two classes."""
    noise_pictures(tmp_path / "mri", ["Glioma T1C+", "Glioma T1C-", "<10 mm"], count=20)
    bt(
        "train", "data=folder", "data.root=mri", "data.limit=null", "debug=tiny", "model=cnn",
        "model.backbone.widths=[4]", "data.image_size=32", "train.tensorboard=false",
        "eval.heatmaps=1", "eval.examples=1", "run_dir=run", cwd=tmp_path, code=0,
    )  # fmt: skip
    classes = ["<10_mm", "glioma_t1c+", "glioma_t1c-"]
    predictions = pd.read_csv(tmp_path / "run/eval/test/predictions.csv")
    assert [c for c in predictions if c.startswith("prob_")] == [f"prob_{c}" for c in classes]
    report = (tmp_path / "run/eval/test/report.html").read_text()
    assert "glioma_t1c+" in report and "&lt;10_mm" in report and "<10_mm" not in report
    bt("predict", "ckpt=run", "input=mri/Glioma T1C+", "run_dir=p", cwd=tmp_path, code=0)
    bt("eval", "ckpt=run", "eval.heatmaps=0", "eval.examples=0", "run_dir=e", cwd=tmp_path, code=0)


def test_what_becomes_of_own_splits_and_spellings_is_said(bt: Command, tmp_path: Path) -> None:
    noise_pictures(
        tmp_path / "d", ["train/no", "train/glioma", "val/healthy", "val/glioma_tumor"], count=3
    )
    done = bt(
        "data", "data=folder", "data.root=d", "data.image_size=32", "run_dir=out", cwd=tmp_path,
        code=0,
    )  # fmt: skip
    assert "  divided anew: its own split (train, val) is not used" in done.stdout
    assert "  joined into glioma: glioma, glioma_tumor" in done.stdout
    assert "  joined into no_tumor: healthy, no" in done.stdout


def test_a_class_that_validation_or_test_has_not_is_said(bt: Command, tmp_path: Path) -> None:
    folders = ["train/no", "train/glioma", "train/pituitary", "val/no", "val/glioma", "test/no"]
    noise_pictures(tmp_path / "d", folders, count=2)
    words = ["data=folder", "data.root=d", "data.image_size=32", "run_dir=out"]
    done = bt("data", *words, cwd=tmp_path, code=0)
    assert "  no validation image of pituitary: the best epoch and thresholds" in done.stdout
    assert "  no test image of glioma, pituitary: the figures say nothing of it" in done.stdout
