"""What other toolkits call our settings and options, and what they ask for that we find out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from braintumor.workflows.arguments import TRAININGS
from braintumor.workflows.words import Typed

_NAMES = {  # setting -> what else it is called; the value stays
    "optimizer.lr": "learning_rate lr",
    "optimizer.weight_decay": "wd",
    "optimizer": "optim",
    "scheduler": "sched lr_scheduler",
    "loss": "criterion",
    "augment": "aug augmentation",
    "tracker": "logger",
    "model": "arch",
    "train.epochs": "epochs num_epochs n_epochs",
    "train.batch_size": "bs batch",
    "seed": "random_state random_seed",
    "folds": "cv kfold k_folds n_splits",
    "input": "image images",
    "data.image_size": "img_size imgsz input_size",
    "data.root": "path data_dir data_root data_path dataset_path train_dir root",
    "data.table": "csv csv_file",
    "data.test_fraction": "test_size test_split",
    "data.val_fraction": "val_size val_split validation_split",
    "model.backbone.dropout": "dropout",
    "ckpt": "checkpoint",
    "model.backbone.weights": "weights pretrained",
    "train.early_stopping.patience": "patience",
    "run_dir": "out output out_dir output_dir save_dir save_path run_name",
}
SETTINGS = {name: setting for setting, names in _NAMES.items() for name in names.split()}
_CLASSES = "the classes are those that the data set has"
FOUND_BY_ITSELF = {
    **dict.fromkeys(("classes", "num_classes", "n_classes", "nclasses", "nc"), _CLASSES),
    **dict.fromkeys(("workers", "num_workers", "n_workers", "n_jobs"), "pictures are read by all "
                    "processor cores"),
    **dict.fromkeys(("pin_memory", "prefetch_factor", "persistent_workers"), "pictures lie in "
                    "memory, ready for the device"),
    "verbose": "what is done is always said",
}  # fmt: skip
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_TRACKERS = ("wandb", "mlflow", "trackio")
_SWITCHES = {  # what is on or off elsewhere -> the words for on, and for off where there is one
    "freeze freeze_backbone freeze_base frozen feature_extract": (
        "train.phases=[{epochs: 18, trainable: head}]",
        "train.phases=[{epochs: 18, trainable: all}]",
    ),
    "cuda use_gpu use_cuda": ("device=cuda", "device=cpu"),
    "gpu gpus": ("device=cuda", ""),
    "amp mixed_precision": ("train.precision=auto", "train.precision=fp32"),
    "fp16 half": ("train.precision=fp16", ""),
    "bf16": ("train.precision=bf16", ""),
    "early_stopping": ("train.early_stopping.patience=8", "train.early_stopping.patience=null"),
    "class_weights class_weight weighted_loss": ("train.imbalance=class_weights", ""),
    "oversample balanced weighted_sampler": ("train.imbalance=oversample", ""),
    **{name: (f"tracker={name}", "tracker=none") for name in _TRACKERS},
}
_SAID_OTHERWISE = {  # (name, value in lower case) -> the word
    (name, value): word
    for names, words in _SWITCHES.items()
    for values, word in zip((_YES, _NO), words, strict=True)
    for name in names.split()
    for value in values
    if word
}
_SAID_OTHERWISE |= {("gpu", str(number)): f"device=cuda:{number}" for number in range(16)}
_SAID_OTHERWISE["class_weight", "balanced"] = "train.imbalance=class_weights"

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
