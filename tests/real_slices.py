"""A few real slices, and the ImageNet backbone that tests look at them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from braintumor.config import config_dir
from braintumor.data.host_images import load_split
from braintumor.evaluation.predict import Inference, features_of
from braintumor.models.classifier import Classifier, build_model


def slices(folder: Path, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Every so manieth image of each class: uint8 (N, 96, 96, 3), int (N,)."""
    pictures, labels = [], []
    for k, name in enumerate(("glioma", "meningioma", "notumor", "pituitary")):
        files = sorted((folder / name).iterdir())
        for path in files[:: len(files) // per_class][:per_class]:
            pictures.append(np.asarray(Image.open(path).convert("RGB").resize((96, 96))))
            labels.append(k)
    return np.stack(pictures), np.array(labels)


def imagenet_backbone(weights: Path) -> Classifier:
    """mobilenetv2_035 for 96 px without attention; its head is not trained."""
    backbone = yaml.safe_load((config_dir() / "model/backbone/mobilenetv2_035.yaml").read_text())
    head = {"pooling": "avg", "hidden": None, "batch_norm": False, "noise": 0.0, "dropout": 0.0}
    backbone["weights"] = str(weights)
    return build_model({"backbone": backbone, "attention": {"name": "none"}, "head": head}, 4, 96)


def halves_of(model: Classifier, images: np.ndarray) -> np.ndarray:
    """What outliers and orientation are told by: float32 (N, 2, F)."""
    rows, paths = np.arange(len(images)), tuple(map(str, range(len(images))))
    split = load_split(images, np.zeros(len(images)), paths, rows, torch.device("cpu"))
    return features_of(model, split, Inference(batch_size=64, dtype=torch.float32))
