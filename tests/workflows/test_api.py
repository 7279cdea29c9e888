"""The Python API: the words of the commands, results in their place, errors as exceptions."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import braintumor as bt
from braintumor.data.images import decode, resize
from braintumor.errors import CheckpointError, ConfigError, DataError
from braintumor.workflows.compose import compose
from braintumor.workflows.found_pictures import from_array
from braintumor.workflows.load import LoadedModel, at_own_size
from braintumor.workflows.results import EvaluationResult, Run
from support import Command

SECTIONS = {
    "data": {"patients": 24, "limit": None},
    "train": {"tensorboard": False, "max_epochs": 2},
}


@pytest.fixture(scope="module")
def classifier(trained: Path) -> LoadedModel:
    return bt.load(trained, device="cpu")


@pytest.fixture
def slice_of_head() -> np.ndarray:
    """uint8 (70, 50): an ellipse on black."""
    y, x = np.mgrid[-1:1:70j, -1:1:50j]
    return np.where(x**2 + y**2 < 0.8, 120 + 60 * x, 0).astype(np.uint8)


def test_importing_it_takes_no_time_and_no_torch() -> None:
    code = (
        "import sys, time; began = time.process_time(); import braintumor as bt; "
        "took = time.process_time() - began; dir(bt); "
        "print(took < 0.05, 'torch' in sys.modules, 'hydra' in sys.modules)"
    )
    tries = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    )
    assert any(done.stdout.split() == ["True", "False", "False"] for done in tries)


def test_on_windows_it_says_where_it_runs() -> None:
    code = "import importlib, os; os.name = 'nt'; import braintumor"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: braintumor runs on Linux and macOS; on Windows run it in WSL 2, where CUDA "
        "works as well: `wsl --install`, then install it there"
    )


def test_a_wrong_place_is_answered_before_weights_are_fetched(tmp_path: Path) -> None:
    """There are none of resnet50 here, which was said instead."""
    (tmp_path / "mri").mkdir()
    with pytest.raises(DataError, match=r"mrii does not exist .* did you mean"):
        bt.train(data="folder", model="resnet50", **{"data.root": str(tmp_path / "mrii")})


def test_what_it_offers_is_named_and_nothing_else() -> None:
    assert set(bt.__all__) <= set(dir(bt))
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = bt.fit


def test_training_gives_what_the_command_writes_and_leaves_the_process_as_it_was(
    trained: Path, bt_in_notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`trained` is the same training by bt-train; here its words come as sections."""
    monkeypatch.setattr(sys, "argv", ["notebook", "--no-such-flag"])
    before = signal.getsignal(signal.SIGTERM), torch.initial_seed()
    run = bt.train("debug=tiny", **SECTIONS, run_dir=bt_in_notebook / "run")
    assert before == (signal.getsignal(signal.SIGTERM), torch.initial_seed())
    command = json.loads((run.folder / "environment.json").read_text())["command"]
    assert command[:2] == ["bt-train", "debug=tiny"]
    assert run.folder == bt_in_notebook / "run"
    assert (run.folder / "manifest.csv").read_bytes() == (trained / "manifest.csv").read_bytes()
    theirs = pd.read_csv(trained / "eval/test/predictions.csv")
    pd.testing.assert_frame_equal(pd.read_csv(run.report.parent / "predictions.csv"), theirs)
    assert run.metrics["all"]["accuracy"] == np.mean(theirs["true"] == theirs["pred"])
    assert run.predictions.columns.tolist() == theirs.columns.tolist()
    assert run.history["epoch"].tolist() == [1, 2]
    assert run.report.read_text().startswith("<!doctype html>")
    assert run.status["status"] == "completed"
    assert "accuracy" in run._repr_html_()
    assert sum(p.numel() for p in run.model().parameters()) == run.status["parameters"]


@pytest.fixture
def bt_in_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_messages_go_where_standard_output_is(
    bt_in_notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("braintumor")
    monkeypatch.setattr(log, "handlers", [])
    for _ in range(2):  # a notebook has another stream in every cell
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        bt.read_data("data.patients=24", data={"slices_per_patient": 2, "image_size": 32})
        assert "images at 32 px" in out.getvalue()


def test_a_data_set_is_read_and_nothing_is_written(bt_in_notebook: Path) -> None:
    data = bt.read_data(data={"patients": 24, "slices_per_patient": 2, "image_size": 32})
    assert data.pixels.shape == (len(data.manifest), 32, 32)
    assert set(data.manifest["split"]) == {"train", "val", "test"}
    assert not list(bt_in_notebook.iterdir())


@pytest.mark.parametrize(
    ("words", "settings", "overrides"),
    [
        (("seed=3",), {"model": "cnn"}, ("seed=3", "model=cnn")),
        ((), {"train": {"early_stopping": {"patience": None}}},
         ("train.early_stopping.patience=null",)),
        ((), {"train": {"epochs": 3}}, ("train.epochs=3",)),
        ((), {"seeds": [0, 1], "overwrite": True}, ("seeds=[0,1]", "overwrite=true")),
        ((), {"data": {"root": Path("my mri/a=b")}}, ("data.root='my mri/a=b'",)),
        ((), {"train": {"phases": [{"epochs": 2, "trainable": "head"}]}},
         ("train.phases=[{epochs: 2, trainable: head}]",)),
        (("model=cnn",), {"run_dir": "007"}, ("model=cnn", "run_dir='007'")),
        ((), {"seeds": np.arange(2)}, ("seeds=[0,1]",)),
        ((), {"seeds": range(2)}, ("seeds=[0,1]",)),
        ((), {"optimizer": {"name": "sgd"}}, ("optimizer=sgd",)),
    ],
)  # fmt: skip
def test_values_of_python_become_words_that_hydra_reads(
    words: tuple[str, ...], settings: dict[str, Any], overrides: tuple[str, ...]
) -> None:
    if "data" in settings:
        words = ("data=folder",)
        overrides = (*words, *overrides)
    request = compose("train", words, settings)
    assert request.overrides == overrides
    for section, value in settings.items():
        found = request.settings[section]
        while isinstance(value, dict):
            ((key, value),) = value.items()
            found = found[key]
        value = list(value) if isinstance(value, np.ndarray | range) else value
        assert section == "model" or found == (str(value) if isinstance(value, Path) else value)


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (("optimzer.lr=1",), {}, "did you mean `optimizer.lr`"),
        ((), {"model": "mobilnet"}, "did you mean `mobilenet`"),
        ((), {"trian": {"epochs": 3}}, "`trian.epochs` is not a setting"),
        ((), {"train": {"batch_size": "many"}}, "train.batch_size"),
        (("~seed",), {}, "takes away"),
        (("seed=0,1",), {}, "several values, which make a sweep"),
        (("-m", "seed=0,1"), {}, "-m is for the command line"),
        (("runs/a",), {}, 'did you mean "data=folder"'),
        ((["data=folder"],), {}, "is no word"),
        ((), {"seed": object()}, "object is no setting"),
    ],
)
def test_mistakes_are_answered_in_the_sentences_of_the_commands(
    words: tuple[str, ...], settings: dict[str, Any], message: str, bt_in_notebook: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        bt.train(*words, **settings)
    assert not list(bt_in_notebook.iterdir())


def test_a_notebooks_own_hydra_stays(tmp_path: Path) -> None:
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    (tmp_path / "own.yaml").write_text("a: 1\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        compose("compare", [], {"runs": ["a"]})
        assert hydra.compose("own")["a"] == 1
    assert not GlobalHydra.instance().is_initialized()


def test_predict_gives_the_table_of_bt_predict(
    classifier: LoadedModel, trained: Path, slice_of_head: np.ndarray, bt: Command, tmp_path: Path
) -> None:
    Image.fromarray(slice_of_head).save(tmp_path / "a.png")
    bt("predict", f"ckpt={trained}", "input=a.png", "run_dir=p", cwd=tmp_path, code=0)
    theirs = pd.read_csv(tmp_path / "p/predictions.csv", dtype={"is_tumor": str, "foreign": str})
    ours = classifier.predict(tmp_path / "a.png")
    assert [*ours.columns, "doubt", "overlay"] == theirs.columns.tolist()
    assert ours["path"].tolist() == ["a.png"]
    probabilities = [f"prob_{name}" for name in classifier.classes]
    np.testing.assert_allclose(ours[probabilities], theirs[probabilities], rtol=1e-6)
    assert ours["pred"].tolist() == theirs["pred"].tolist()
    assert ours["is_tumor"].dtype == bool
    assert ours["is_tumor"].tolist() == theirs["is_tumor"].eq("true").tolist()


def test_every_kind_of_the_same_picture_has_the_same_answer(
    classifier: LoadedModel, slice_of_head: np.ndarray, tmp_path: Path
) -> None:
    grey = slice_of_head
    (tmp_path / "folder").mkdir()
    Image.fromarray(grey).save(tmp_path / "folder/a.png")
    kinds = [
        tmp_path / "folder/a.png", str(tmp_path / "folder"), Image.fromarray(grey), grey,
        grey[..., None], np.repeat(grey[..., None], 3, axis=2), grey.astype(np.float32),
        grey / 255, Image.fromarray(grey).convert("RGBA"), Image.fromarray(grey).convert("P"),
    ]  # fmt: skip
    table = classifier.predict(kinds)
    assert len(table) == len(kinds)
    probabilities = table[[f"prob_{name}" for name in classifier.classes]].to_numpy()
    np.testing.assert_allclose(probabilities, probabilities[:1].repeat(len(kinds), 0), atol=1e-6)
    path = str(tmp_path / "folder/a.png")
    assert table["path"].tolist()[:3] == [path, path, "picture 2"]


def test_a_picture_that_pillow_has_opened_is_read_as_its_file(
    classifier: LoadedModel, slice_of_head: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(slice_of_head).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(slice_of_head.astype(np.int32) * 100).save(tmp_path / "deep.tif")
    Image.fromarray(slice_of_head).convert("CMYK").save(tmp_path / "ink.jpg", quality=95)
    for path in tmp_path.iterdir():
        with Image.open(path) as opened:
            both = classifier.predict([path, opened])
        np.testing.assert_array_equal(*both.filter(like="prob_").to_numpy())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (b"no picture", "bytes is no picture"),
        (np.zeros((8, 5, 5), np.uint8), r"list\(array\)"),
        (np.zeros((5, 5, 2), np.uint8), r"list\(array.transpose\(2, 0, 1\)\)"),
        (np.zeros(9, np.uint8), r"width, 3\)$"),
        (None, "NoneType is no picture"),
        (5, "int is no picture"),
        (np.zeros((4, 4), bool), "holds no intensities"),
        (np.full((4, 4), -0.5), "neither"),
        (np.full((4, 4), 1.5), "may be of 0-1 or of 0-255"),
        (np.full((4, 4), 300.0), "neither"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.zeros((2, 3, 4, 5), np.uint8), "no picture"),
    ],
)
def test_what_is_ambiguous_is_refused(
    classifier: LoadedModel, values: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        classifier.predict(values)


def test_floats_are_scaled_by_what_white_must_be() -> None:
    assert from_array(np.array([[0.0, 1.0]])).tolist() == [[0, 255]]
    assert from_array(np.array([[0.0, 200.0]])).tolist() == [[0, 200]]
    assert from_array(np.array([[0, 200]], np.int64)).tolist() == [[0, 200]]


def test_arrays_of_16_bits_and_channels_first_are_those_of_their_files(tmp_path: Path) -> None:
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    Image.fromarray(deep).save(tmp_path / "deep.png")
    from_file = decode((tmp_path / "deep.png").read_bytes()).pixels
    np.testing.assert_array_equal(from_array(deep), from_file)
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    np.testing.assert_array_equal(from_array(np.moveaxis(colour, 2, 0)), colour)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((0, 5), np.uint8), "no pixel"),
        (np.eye(4, dtype=np.uint8), "lost their digits"),
        (np.eye(4, dtype=np.int64), "lost their digits"),
        (np.eye(4, dtype=bool), "no intensities"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.array([[0.0, np.inf]]), "not finite"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(values: np.ndarray, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        from_array(values)


def test_a_tensor_is_one_picture(classifier: LoadedModel, slice_of_head: np.ndarray) -> None:
    """And not one for each of its channels."""
    grey = torch.tensor(slice_of_head)
    given = [slice_of_head, grey, grey[None], torch.stack([grey] * 3), [grey]]
    answers = [classifier.predict(one).drop(columns="path") for one in given]
    for answer in answers[1:]:
        pd.testing.assert_frame_equal(answer, answers[0])
    with pytest.raises(DataError, match="cannot be read as an array"):
        classifier.predict(torch.ones((4, 4), requires_grad=True))


def test_a_heat_map_lies_on_the_picture_as_it_is(
    classifier: LoadedModel, slice_of_head: np.ndarray
) -> None:
    heat = classifier.heatmap(slice_of_head)
    assert heat.shape == slice_of_head.shape
    assert 0 <= heat.min() <= heat.max() <= 1
    answer = classifier.predict(slice_of_head)["pred"][0]
    np.testing.assert_array_equal(heat, classifier.heatmap(slice_of_head, target=answer))
    with pytest.raises(DataError, match="target=cat is not one of"):
        classifier.heatmap(slice_of_head, target="cat")


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_heat_map_is_as_coarse_as_its_cells(fit: Any) -> None:
    """5 x 5 cells on a picture twice as broad as high; padding hides the two outer rows."""
    cells = np.arange(25, dtype=np.float32).reshape(5, 5) / 25
    heat = at_own_size(cells, (50, 100), fit)
    shown = cells.repeat(20, axis=1)
    expected = shown.repeat(10, axis=0) if fit == "stretch" else shown.repeat(20, axis=0)[25:75]
    np.testing.assert_array_equal(heat, expected)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(90, 40), (40, 90), (64, 64)])
def test_the_way_back_from_the_square_finds_the_same_place(fit: Any, size: tuple[int, int]) -> None:
    picture = np.zeros(size, np.uint8)
    y, x = size[0] // 3, size[1] // 4
    picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    back = at_own_size(resize(picture, 64, fit).astype(np.float32) / 255, size, fit)
    rows, columns = np.nonzero(back > 0.5)
    assert back.shape == size
    assert abs(rows.mean() - y) < 1.5
    assert abs(columns.mean() - x) < 1.5


def test_evaluation_and_comparison_give_their_figures(trained: Path, bt_in_notebook: Path) -> None:
    done = bt.evaluate(ckpt=trained, split="val", run_dir="val")
    assert done.metrics["split"] == "val"
    assert len(done.predictions) == done.metrics["n"]
    matrix = bt.evaluate(ckpt=[trained], on=["phantom"], run_dir="matrix")
    assert matrix.table["n"].gt(0).all()
    compared = bt.compare(runs=[trained], run_dir="compared", resamples=100)
    assert len(compared.leaderboard) == 1
    assert compared.page.is_file()


def test_a_missing_run_is_an_error_and_no_exit() -> None:
    with pytest.raises(CheckpointError, match="there is no run folder"):
        bt.load("no/such/run")


def test_what_load_is_told_is_checked(trained: Path) -> None:
    with pytest.raises(ConfigError, match="precision=half"):
        bt.load(trained, precision="half")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`views=0` should be 1 or more"):
        bt.load(trained, views=0)


@pytest.mark.parametrize(
    "settings", [{"run_dir": "x"}, {"probe": True}, {"cache": "clear"}, {"overwrite": True}]
)
def test_reading_data_writes_nothing_that_could_be_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is for bt-data"):
        bt.read_data(**settings)


def test_a_run_that_did_not_end_says_so(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"status": "interrupted"}')
    run = Run(tmp_path)
    for name in ("metrics", "predictions", "report"):
        with pytest.raises(DataError, match="no evaluation; it is interrupted"):
            getattr(run, name)
    with pytest.raises(DataError, match="no summary"):
        _ = run.summary
    assert "interrupted" in run._repr_html_()


def test_a_class_may_be_called_0_or_na(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text('"path","true","pred"\n"1","0","NA"\n')
    table = EvaluationResult(tmp_path).predictions
    assert table.to_numpy().tolist() == [["1", "0", "NA"]]


def test_the_words_of_the_guide(
    trained: Path, tmp_path: Path, slice_of_head: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs", "folder"):
        Path(folder).mkdir()
    Path("runs/x").symlink_to(trained)
    for file in ("a.png", "folder/b.png"):
        Image.fromarray(slice_of_head).save(file)
    guide = (Path(__file__).parents[2] / "docs/python.md").read_text()
    code = guide.split("```python")[1].split("```")[0]
    # what comes before trains a network of 23 million weights
    exec(code[code.index("classifier = ") :], {"bt": bt, "array": slice_of_head})
