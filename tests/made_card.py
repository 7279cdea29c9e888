"""A card, and the small model that it describes."""

from __future__ import annotations

from typing import Any

from braintumor.runs.checkpoint import Card

MODEL: dict[str, Any] = {
    "backbone": {
        "name": "cnn", "weights": "none", "widths": [4, 8], "dropout": 0.0,
        "block_attention": {"name": "none"},
    },
    "attention": {"name": "se", "reduction": 4},
    "head": {"pooling": "avg", "hidden": None, "batch_norm": False, "noise": 0.0, "dropout": 0.0},
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "seed": 1, "data": {"root": None}, "decision": {"prevalence": None},
    "train": {"channels_last": False, "precision": "fp32", "refit": False},
    "eval": {"views": 2, "cam": "gradcam", "cam_layer": "backbone"},
}  # fmt: skip
DECISIONS: dict[str, Any] = {
    "n": 9, "groups": 9, "temperature": 2.0, "sensitivity": 0.95, "threshold": None,
    "coverage": 0.9, "conformal": None, "reject": 0.05, "outlier_threshold": None,
    "turned_threshold": None, "risk": 0.05, "confidence": None,
}  # fmt: skip


def card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        "version": "0", "model_name": "cnn_se", "data_name": "phantom",
        "classes": ("glioma", "no_tumor", "pituitary"), "binary": False, "image_size": 32,
        "fit": "stretch", "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2), "model": MODEL,
        "settings": SETTINGS,
        "epoch": 3, "validation": {"val_loss": 0.5, "val_auroc": None}, "parameters": 10,
        "training_hashes": ("a" * 64, "b" * 64), "training_phashes": ("0f" * 32,),
        "patients": {"images": 9, "known": 0, "patients": 0},
    }  # fmt: skip
    return Card(**(values | changes))
