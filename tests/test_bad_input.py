"""Bad input: one clear sentence with what to do, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from braintumor.runs.checkpoint import read_card
from braintumor.workflows.compose import compose
from support import Command, write_checkpoint

CLASSES = ("glioma", "no_tumor")


def make_images(root: Path, counts: dict[str, int]) -> Path:
    """Flat class folders of small noise pictures under root."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.jpg")
    return root


def empty_class(root: Path) -> str:
    make_images(root, {"glioma": 12, "no_tumor": 12, "pituitary": 0})
    return "pituitary"


def one_class(root: Path) -> str:
    make_images(root, {"glioma": 12})
    return "glioma"


def too_few(root: Path) -> str:
    make_images(root, {"glioma": 12, "no_tumor": 2})
    return "no_tumor"


def text_named_jpg(root: Path) -> str:
    make_images(root, {"glioma": 12, "no_tumor": 12})
    (root / "glioma" / "notes.jpg").write_text("patient moved during the scan")
    (root / "no_tumor" / "empty.jpg").touch()
    return "notes.jpg"


def no_folder(root: Path) -> str:
    return str(root)


def truncated_npz(root: Path) -> str:
    root.mkdir()
    rng = np.random.default_rng(0)
    path = root / "data.npz"
    np.savez(path, X=rng.random((20, 16, 16)), Y=np.arange(20) % 2)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "data.npz"


def html_npz(root: Path) -> str:
    root.mkdir()
    (root / "data.npz").write_text("<!doctype html><html>Sign in to download</html>")
    return "data.npz"


@pytest.mark.parametrize(
    "make",
    [empty_class, one_class, too_few, text_named_jpg, no_folder, truncated_npz, html_npz],
    ids=lambda make: make.__name__,
)
def test_bad_data_is_refused_before_anything_is_written(
    bt: Command, tmp_path: Path, make: Callable[[Path], str]
) -> None:
    root = tmp_path / "mri"
    named = make(root)
    source = "npz" if make.__name__.endswith("npz") else "folder"
    place = root / "data.npz" if source == "npz" else root
    data = [f"data={source}", f"data.root={place}"]
    done = bt("train", *data, "debug=tiny", "data.limit=null", cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert_one_sentence(done.stderr)
    assert [p.name for p in tmp_path.iterdir() if p != root] == []


def test_unreadable_images_are_all_named_and_can_be_skipped(bt: Command, tmp_path: Path) -> None:
    root = tmp_path / "mri"
    text_named_jpg(root)
    data = ["data=folder", f"data.root={root}", "data.image_size=32", "run_dir=out"]
    refused = bt("data", *data, cwd=tmp_path)
    assert refused.returncode == 2
    assert "notes.jpg" in refused.stderr
    assert "empty.jpg" in refused.stderr
    assert "data.skip_unreadable=true" in refused.stderr
    accepted = bt("data", *data, "data.skip_unreadable=true", cwd=tmp_path)
    assert accepted.returncode == 0, accepted.stderr
    assert "2 unreadable" in accepted.stdout


def test_a_run_folder_that_is_not_there(bt: Command, tmp_path: Path) -> None:
    for command, key in (("eval", "ckpt"), ("predict", "ckpt"), ("train", "resume")):
        done = bt(command, f"{key}=runs/nope", cwd=tmp_path)
        assert done.returncode == 2
        assert "runs/nope" in done.stderr
        assert_one_sentence(done.stderr)
    done = bt("compare", "runs=[runs/nope]", cwd=tmp_path)
    assert done.returncode == 2
    assert_one_sentence(done.stderr)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_model_and_of_other_classes(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    """Weights of one run under the card of another; then classes that it never learned."""
    card = dataclasses.asdict(read_card(trained / "best.safetensors"))
    weights = load_file(trained / "best.safetensors")
    weights.pop(next(name for name in weights if name.endswith(".weight")))
    torn = tmp_path / "best.safetensors"
    write_checkpoint(torn, weights, card)
    done = bt("eval", f"ckpt={torn}", cwd=tmp_path)
    assert done.returncode == 2
    assert "not of the model on its card" in done.stderr
    assert_one_sentence(done.stderr)
    torn.unlink()

    root = make_images(tmp_path / "animals", {"cat": 4, "dog": 4})
    done = bt("eval", f"ckpt={trained}", "data=folder", f"data.root={root}", cwd=tmp_path)
    assert done.returncode == 2
    assert "cat, dog" in done.stderr
    assert_one_sentence(done.stderr)
    shutil.rmtree(root)
    assert not list(tmp_path.iterdir())


def test_damaged_checkpoints_are_named_and_made_again(
    bt: Command, trained: Path, tmp_path: Path
) -> None:
    """A cut state and a flipped bit in the weights: the state before is taken, to the same end."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    expected = load_file(run / "best.safetensors")
    last, best = (run / name for name in ("last.ckpt", "best.safetensors"))
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    flipped = bytearray(best.read_bytes())
    flipped[-100] ^= 1
    best.write_bytes(flipped)
    for words in (["eval", "ckpt=run"], ["predict", "ckpt=run", "input=run/plots/samples.png"]):
        done = bt(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "run/best.safetensors is damaged" in done.stderr
        assert_one_sentence(done.stderr)
    status = json.loads((run / "status.json").read_text()) | {"status": "interrupted"}
    (run / "status.json").write_text(json.dumps(status))
    done = bt("train", "resume=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "last.ckpt is damaged; going on from the one before it, previous.ckpt" in done.stdout
    assert "resuming after epoch 1" in done.stdout
    again = load_file(best)
    assert all((again[name] == expected[name]).all() for name in expected)


def test_imagenet_weights_without_network_name_the_three_ways_out(
    bt_process: Command, tmp_path: Path
) -> None:
    done = bt_process(
        "train", "data.patients=12", "data.image_size=64", "model=mobilenet_mhsa",
        cwd=tmp_path, HF_HOME=str(tmp_path / "hub"),
    )  # fmt: skip
    assert done.returncode == 2
    for way in ("HF_ENDPOINT", "safetensors", "weights=none"):
        assert way in done.stderr
    assert_one_sentence(done.stderr)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "words", "answer"),
    [
        ("train", ["+model._target_=os.system"], "components are chosen by name"),
        ("train", ["+data.x.y._partial_=true"], "components are chosen by name"),
        ("train", ["+train.phases=[{_target_: os.system}]"], "components are chosen by name"),
        ("train", ["+x.y=1"], "`x` is not an option"),
        ("train", ["+optimiser.lr=1"], "did you mean `optimizer`"),
        ("train", ["+model.atention.name=se"], "did you mean `attention`"),
        ("train", ["+model.foo=1"], "`model.foo` is not an option"),
        ("train", ["model=null"], "model=null is not known"),
        ("train", ["data=null"], "folder, navoneel"),
        ("train", ["data=3"], "data=3 is not known"),
        ("train", ["experiment=null"], "leave it out"),
        ("train", ["train=null"], "`train=None` should be a mapping"),
        ("train", ["~optimizer"], "~optimizer takes away"),
        ("train", ["~model.backbone.image_size"], "leave it out"),
        ("train", ["train.phases=3"], "should be a list"),
        ("train", ["train.early_stopping=3"], "a mapping with metric, patience, min_delta"),
        ("train", ["model.attention=se"], "model/attention=se"),
        ("train", ["model.backbone=null"], "model/backbone=NAME"),
        ("train", ["model.backbone.image_size=abc"], "should be a whole number"),
        ("train", ["optimizer.name=null"], "`optimizer.name=None` should be a text"),
        ("train", ["loss.name=[a]"], "`loss.name=['a']` should be a text"),
        ("train", ["seed=[0,1]"], "`seed=[0, 1]` should be a whole number"),
        ("train", ["seed=${nope}"], "nope"),
        ("train", ["split=null"], "`split=None` should be a text"),
        ("train", ["device=[cpu]"], "should be a text"),
        ("train", ["resume=[a]"], "should be a path"),
        ("data", ["probe=maybe"], "true or false"),
        ("data", ["data.image_size=0"], "`data.image_size=0` should be 1 or more"),
        ("eval", ["ckpt=3"], "there is no run folder or checkpoint 3"),
        ("eval", ["ckpt=a", "prevalence=abc"], "should be a number"),
        ("eval", ["ckpt=a", "eval=null"], "should be a mapping"),
        ("eval", ["ckpt=a", "batch_size=abc"], "should be a whole number"),
        ("predict", ["ckpt=a", "input=3"], "there is no run folder or checkpoint a"),
        ("compare", ["+x=1"], "`x` is not an option"),
    ],
)
def test_a_wrong_setting_is_no_bug_of_ours(
    bt: Command, tmp_path: Path, name: str, words: list[str], answer: str
) -> None:
    done = bt(name, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert_one_sentence(done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


FILES = {
    "mine": "defaults: [train, _self_]\nseed: 3\n",
    "typo": "defaults: [train, _self_]\nsed: 3\n",
    "scalar": "defaults: [train, _self_]\ntrain: 3\n",
    "code": "defaults: [train, _self_]\noptimizer: {_target_: os.system}\n",
    "listed": "- train\n",
    "empty": "",
    "broken": "a: [1\n",
    "data/half": "name: folder\nroot: x\n",
    "data/broken": "a: [1\n",
}


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--config-name", "typo"], "did you mean `seed`"),
        (["--config-name", "scalar"], "`train=3` should be a mapping"),
        (["--config-name", "code"], "Hydra would run code"),
        (["--config-name", "listed"], "defaults: [train, _self_]"),
        (["--config-name", "empty"], "does not build on the settings of bt-train"),
        (["--config-name=broken.yaml"], "broken.yaml is not YAML"),
        (["-cn", "nope"], "there is no nope.yaml in"),
        (["--config-name", "data"], "does not build on the settings of bt-train"),
        (["--config-name", "eval"], "does not build on the settings of bt-train"),
        (["data=half"], "`data.image_size` is not set"),
        (["data=broken"], "not YAML"),
        (["--config-path", "files"], "use --config-dir"),
        (["--config-dir", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_file_of_settings_is_answered(
    bt: Command, tmp_path: Path, words: list[str], answer: str
) -> None:
    for name, text in FILES.items():
        path = tmp_path / "files" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = bt("train", "--config-dir", "files", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert_one_sentence(done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_file_of_settings_that_builds_on_ours_is_taken(bt: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FILES["mine"])
    done = bt("train", "--config-dir=.", "--config-name=mine", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\nseed: 3\n" in done.stdout


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a: [1", "is not YAML"),
        ("- a", "holds no settings"),
        ("train: {}", "config.yaml is not that of a run: bt-train needs the setting or section"),
        ({"train": 3}, "`train=3` should be a mapping"),
        ({"model": {"_target_": "os.system"}}, "components are chosen by name"),
        ({"model": {"backbone": 3}}, "`model.backbone=3` should be a section"),
        ({"seed": "abc"}, "`seed=abc` should be a whole number"),
    ],
)
def test_a_damaged_config_of_a_run_is_answered(
    bt: Command, tmp_path: Path, text: str | dict, answer: str
) -> None:
    """text: of the file, or settings that are not as they were written."""
    if isinstance(text, dict):
        text = yaml.safe_dump(compose("train", [], {}).settings | text)
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "status.json").write_text('{"status": "interrupted", "data_name": "phantom"}')
    done = bt("train", f"resume={tmp_path}", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert_one_sentence(done.stderr)


def assert_one_sentence(stderr: str) -> None:
    """No traceback; besides progress bars, the message starts with `error:`."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line.strip()]
    said = [line for line in lines if "img/s" not in line and "it/s" not in line]
    assert said[0].startswith("error: ")
    assert all(line.startswith("  ") for line in said[1:]), said
