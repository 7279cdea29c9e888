"""What other toolkits call our settings and options, and what they ask for that we find out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from braintumor.workflows.arguments import TRAININGS
from braintumor.workflows.words import Typed

SETTINGS = {  # the value stays
    "learning_rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "optim": "optimizer",
    "sched": "scheduler",
    "lr_scheduler": "scheduler",
    "criterion": "loss",
    "aug": "augment",
    "augmentation": "augment",
    "logger": "tracker",
    "arch": "model",
    "epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "bs": "train.batch_size",
    "batch": "train.batch_size",
    "random_state": "seed",
    "random_seed": "seed",
    "cv": "folds",
    "kfold": "folds",
    "k_folds": "folds",
    "n_splits": "folds",
    "image": "input",
    "images": "input",
    "img_size": "data.image_size",
    "imgsz": "data.image_size",
    "input_size": "data.image_size",
    "path": "data.root",
    "data_dir": "data.root",
    "data_root": "data.root",
    "data_path": "data.root",
    "dataset_path": "data.root",
    "train_dir": "data.root",
    "root": "data.root",
    "csv": "data.table",
    "csv_file": "data.table",
    "test_size": "data.test_fraction",
    "test_split": "data.test_fraction",
    "val_size": "data.val_fraction",
    "val_split": "data.val_fraction",
    "validation_split": "data.val_fraction",
    "dropout": "model.backbone.dropout",
    "checkpoint": "ckpt",
    "weights": "model.backbone.weights",
    "patience": "train.early_stopping.patience",
    "pretrained": "model.backbone.weights",
    "out": "run_dir",
    "output": "run_dir",
    "out_dir": "run_dir",
    "output_dir": "run_dir",
    "save_dir": "run_dir",
    "save_path": "run_dir",
    "run_name": "run_dir",
}
_CLASSES = "the classes are those that the data set has"
FOUND_BY_ITSELF = {
    **dict.fromkeys(("classes", "num_classes", "n_classes", "nclasses", "nc"), _CLASSES),
    **dict.fromkeys(("workers", "num_workers", "n_workers", "n_jobs"), "pictures are read by all "
                    "processor cores"),
    **dict.fromkeys(("pin_memory", "prefetch_factor", "persistent_workers"), "pictures lie in "
                    "memory, ready for the device"),
    "verbose": "what is done is always said",
}  # fmt: skip
_HEAD = "train.phases=[{epochs: 18, trainable: head}]"
_FREEZE = ("freeze", "freeze_backbone", "freeze_base", "frozen", "feature_extract")
_GPU = ("gpu", "gpus", "cuda", "use_gpu", "use_cuda")
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_SAID_OTHERWISE = {  # (name, value in lower case) -> the word
    **{(name, yes): _HEAD for name in _FREEZE for yes in _YES},
    **{(name, no): "train.phases=[{epochs: 18, trainable: all}]" for name in _FREEZE for no in _NO},
    **{(name, yes): "device=cuda" for name in _GPU for yes in _YES},
    **{(name, no): "device=cpu" for name in _GPU[2:] for no in _NO},
    **{("gpu", str(number)): f"device=cuda:{number}" for number in range(16)},
    **{(name, yes): "train.precision=auto" for name in ("amp", "mixed_precision") for yes in _YES},
    **{(name, no): "train.precision=fp32" for name in ("amp", "mixed_precision") for no in _NO},
    **{(name, yes): "train.precision=fp16" for name in ("fp16", "half") for yes in _YES},
    **{("bf16", yes): "train.precision=bf16" for yes in _YES},
    **{("early_stopping", no): "train.early_stopping.patience=null" for no in _NO},
    **{("early_stopping", yes): "train.early_stopping.patience=8" for yes in _YES},
    **{(name, yes): f"tracker={name}" for name in ("wandb", "mlflow", "trackio") for yes in _YES},
    **{(name, no): "tracker=none" for name in ("wandb", "mlflow", "trackio") for no in _NO},
    **{(name, yes): "train.imbalance=class_weights"
       for name in ("class_weights", "class_weight", "weighted_loss") for yes in _YES},
    ("class_weight", "balanced"): "train.imbalance=class_weights",
    **{(name, yes): "train.imbalance=oversample"
       for name in ("oversample", "balanced", "weighted_sampler") for yes in _YES},
}  # fmt: skip

_OPTIONS = {  # of any group, without case and separators
    "ce": "cross_entropy", "bce": "cross_entropy", "categoricalcrossentropy": "cross_entropy",
    "heavy": "strong", "tb": "tensorboard", "cyclic": "onecycle", "wandbai": "wandb",
    **dict.fromkeys(("false", "null", "off", "no", "0", "fixed"), "none"),
    **dict.fromkeys(("true", "1", "yes", "on"), "tiny"),  # of debug
}  # fmt: skip


def meant_by(name: str, value: str) -> str | None:
    """The word that does what another toolkit does by name=value; None where that is not known.

    >>> meant_by("amp", "True")
    'train.precision=auto'
    """
    return _SAID_OTHERWISE.get((name, value.casefold()))


def explain_foreign(key: str, given: str, typed: Typed) -> str | None:
    """On what other toolkits ask for, and what is here said otherwise or never asked."""
    if typed.command not in TRAININGS:
        return None
    name = key.rpartition(".")[2].casefold()
    if name in ("config", "cfg", "config_file"):
        file = Path(given)
        words = [f"--config-dir={file.parent}", f"--config-name={file.stem}"]
        return f"`{key}` is not a setting; for a file of your own settings {typed.use(*words)}"
    if name in FOUND_BY_ITSELF:
        return f"`{key}` is not a setting: {FOUND_BY_ITSELF[name]}; leave it out"
    meant = meant_by(name, given.strip("'\""))
    return f"`{key}` is not a setting; {typed.use(meant)}" if meant else None


def option_called(name: str, known: Sequence[str]) -> str | None:
    """The option that is meant by a name that is none.

    >>> option_called("ReduceLROnPlateau", ["constant", "plateau"])
    'plateau'
    >>> option_called("none", ["constant", "cosine"])
    'constant'
    """
    plain = {_plain(option): option for option in known}
    wanted = _plain(name)
    if wanted in plain:
        return plain[wanted]
    meant = _OPTIONS.get(wanted, wanted)
    if meant == "none":
        meant = "none" if "none" in known else "constant"
    if meant in known:
        return meant
    if held := [option for option in plain if option in wanted and option != "none"]:
        return plain[max(held, key=len)]
    near = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.5)
    return plain[near[0]] if near and wanted not in _OPTIONS and wanted != "none" else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
