"""Bad input: one clear sentence with what to do, exit code 2, no traceback, nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import Command

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
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(trained / "best.safetensors", framework="np") as file:
        card = file.metadata()
    weights = load_file(trained / "best.safetensors")
    card.pop("braintumor_sha256")  # or the file would be called damaged, which it is
    weights.pop(next(name for name in weights if name.endswith(".weight")))
    torn = tmp_path / "best.safetensors"
    save_file(weights, torn, metadata=card)
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


def assert_one_sentence(stderr: str) -> None:
    """No traceback; besides progress bars, the message starts with `error:`."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line.strip()]
    said = [line for line in lines if "img/s" not in line and "it/s" not in line]
    assert said[0].startswith("error: ")
    assert all(line.startswith("  ") for line in said[1:]), said
