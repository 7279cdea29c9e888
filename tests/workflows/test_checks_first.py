"""What can be known without an image is answered before one is read."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from braintumor.errors import ConfigError
from braintumor.runs.folder import RunFolder
from braintumor.workflows.compose import compose
from braintumor.workflows.setup import _accept
from support import Command, unreadable_pictures

MISTAKES = [
    ("model=mobilenetv2_035 model.backbone.weights=/nope.safetensors", "no file /nope.safetensors"),
    ("model=timm model.backbone.timm_name=resnet81", "did you mean `resnet18`"),
    ("model=timm model.backbone.timm_name=mobilenetv4_small", "mobilenetv4_conv_small"),
    ("model.backbone.widths=[8,8,8,8,8,8,8,8]", "too small for 8 blocks"),
    ("model.backbone.lr_scale=-1", "`model.backbone.lr_scale=-1.0` should be 0 or more"),
    ("model.head.dropout=2", "`model.head.dropout=2.0`"),
    ("model=cnn_mhsa model.attention.heads=7", "`model.attention.heads=7`"),
    ("device=mps", "sees no Apple GPU"),
    ("device=meta", "device=meta, which braintumor does not use"),
    ("device=tpu", "device=tpu, which braintumor does not use"),
    ("device=cuda:99", "device=cuda:99"),
    ("split=ofical", "did you mean `official`"),
    ("split=official", "has none: use split=stratified"),
    ("split=official_clean", "has none: use split=stratified"),
    ("folds=1", "`folds=1` should be"),
    ("folds=5 split=official", "folds=5 divides all images anew"),
    ("folds=500", "class a has only 12 images"),
    ("fold=3", "fold=3"),
    ("seeds=[]", "seeds=[] should be"),
    ("optimizer.lr=-1", "`optimizer.lr=-1.0` should be 0 or more"),
    ("optimizer.lr=nan", "`optimizer.lr=nan` should be 0 or more"),
    ("optimizer.lr=inf", "`optimizer.lr=inf` should be 0 or more"),
    ("optimizer.beta1=1", "`optimizer.beta1=1.0` should be 0 or more and below 1"),
    ("optimizer.eps=0", "`optimizer.eps=0.0` should be above 0"),
    ("optimizer.weight_decay=-1", "`optimizer.weight_decay=-1.0` should be 0 or more"),
    ("optimizer.head_lr_scale=-1", "`optimizer.head_lr_scale=-1.0` should be 0 or more"),
    ("optimizer=sgd optimizer.momentum=1", "`optimizer.momentum=1.0` should be"),
    ("optimizer=sgd optimizer.momentum=0", "optimizer.nesterov=false"),
    ("scheduler.rise=1", "`scheduler.rise=1.0` should be 0 or more and below 1"),
    ("scheduler.min_factor=-1", "`scheduler.min_factor=-1.0` should be"),
    ("scheduler.warmup_epochs=-1", "`scheduler.warmup_epochs=-1.0` should be 0 or more"),
    ("scheduler=plateau scheduler.factor=2", "`scheduler.factor=2.0` should be above 0 and at"),
    ("scheduler=plateau scheduler.patience=-1", "`scheduler.patience=-1` should be 0 or more"),
    ("scheduler=plateau train.refit=true", "train.refit=true trains without validation"),
    ("scheduler=warm_restarts scheduler.growth=0", "`scheduler.growth=0` should be 1 or more"),
    ("loss.label_smoothing=1", "`loss.label_smoothing=1.0` should be 0 or more and below 1"),
    ("loss=focal loss.gamma=-1", "`loss.gamma=-1.0` should be 0 or more"),
    ("augment.horizontal_flip=2", "`augment.horizontal_flip=2.0` should be 0 or more and at most"),
    ("augment.rotation_deg=-5", "`augment.rotation_deg=-5.0` should be"),
    ("augment.zoom=1", "`augment.zoom=1.0` should be 0 or more and below 1"),
    ("augment.mixup=-1", "`augment.mixup=-1.0` should be 0 or more"),
    ("train.ema_decay=1", "`train.ema_decay=1.0` should be 0 or more and below 1"),
    ("train.clip_norm=0", "`train.clip_norm=0.0` should be above 0"),
    ("train.batch_size=0", "train.batch_size=0"),
    ("train.epochs=-3", "`train.epochs=-3` should be 1 or more"),
    ("train.early_stopping.patience=0", "`train.early_stopping.patience=0` should be 1 or more"),
    ("train.phases=[]", "`train.phases` is empty"),
    ("train.phases=[{epochs:0}]", "`train.phases[0].epochs=0` should be 1 or more"),
    ("train.phases=[{epochs:1,trainable:99}]", "this backbone has 3"),
    ("train.phases=[{epochs:1,lr:-1}]", "`train.phases[0].lr=-1.0` should be 0 or more"),
    ("train.early_stopping.min_delta=-1", "`train.early_stopping.min_delta=-1.0` should be"),
    ("train.cuda_graphs=true device=cpu", "needs a CUDA device"),
    ("decision.sensitivity=2", "`decision.sensitivity=2.0`"),
    ("decision.sensitivity=98", "should be above 0 and at most 1"),
    ("eval.views=0", "`eval.views=0` should be 1 or more"),
    ("eval.heatmaps=-1", "`eval.heatmaps=-1` should be 0 or more"),
    ("eval.cam=attention", "model with mhsa"),
    ("features.views=-1", "`features.views=-1` should be 0 or more"),
    ("data.val_fraction=2", "`data.val_fraction=2.0` should be above 0 and below 1"),
    ("data.limit=0", "`data.limit=0` should be 1 or more"),
    ("data.image_size=0", "`data.image_size=0` should be 1 or more"),
    ("data.fit=x", "data.fit=x"),
]


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes in which no picture can be read."""
    root = tmp_path_factory.mktemp("unreadable")
    unreadable_pictures(root)
    return root


@pytest.mark.parametrize(("words", "answer"), [*MISTAKES, ("seed=1", "24 of 24 images cannot be")])
def test_a_mistake_is_answered_before_the_data(
    bt: Command, unreadable: Path, tmp_path: Path, words: str, answer: str
) -> None:
    """The last case is without a mistake: only there the pictures are looked at."""
    began = time.process_time()  # of this process, whatever runs beside it
    tiny = ["data=folder", f"data.root={unreadable}", "debug=tiny", "model=cnn"]
    done = bt("train", *tiny, *words.split(), cwd=tmp_path, code=2)
    assert answer in done.stderr
    assert time.process_time() - began < 10
    assert not list(tmp_path.iterdir())


def test_bt_data_knows_its_splits_before_the_data(
    bt: Command, unreadable: Path, tmp_path: Path
) -> None:
    words = ["data=folder", f"data.root={unreadable}", "split=official"]
    done = bt("data", *words, cwd=tmp_path)
    assert "has none: use split=stratified" in done.stderr


def test_bt_eval_knows_its_splits_before_the_checkpoint(bt: Command, tmp_path: Path) -> None:
    for name, use in (("validation", "; use split=val\n"), ("tests", "\n")):
        done = bt("eval", "ckpt=runs/none", f"split={name}", cwd=tmp_path, code=2)
        assert done.stderr.endswith(f"split={name} is not one of train, val, test, all{use}")


def test_a_run_with_cuda_graphs_goes_on_without_a_gpu(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["train.cuda_graphs=true", "device=cpu", "model=cnn"]
    settings = compose("train", words, {}).settings
    with caplog.at_level(logging.INFO):
        assert _accept(settings, RunFolder(tmp_path)).device.type == "cpu"
    assert "going on without, on cpu" in caplog.text
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        _accept(settings, None)
