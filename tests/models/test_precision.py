"""Logits under autocast: no ties that the network did not make, figures near those of fp32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from braintumor.evaluation.predict import Inference, predict
from braintumor.models.classifier import Classifier, build_model
from braintumor.training.batches import predict_logits
from small_fit import CLASSES, MODEL, SIDE, section, split

VAL = split(90, seed=3)


def build(attention: str, **head: Any) -> Classifier:
    """Close to its decision: all margins of one size, as those of a trained model may be."""
    torch.manual_seed(0)
    settings = MODEL | {"attention": section("attention", attention), "head": MODEL["head"] | head}
    model = build_model(settings, CLASSES, SIDE).eval()
    for parameter in (*model.attention.parameters(), *model.head.parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        model.head[-1].bias.copy_(torch.tensor([0.0, 8.0, 16.0]))
    return model


def margins(logits: torch.Tensor) -> np.ndarray:
    return (logits[:, 1] - logits[:, 0]).numpy()


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "flatten"])
@pytest.mark.parametrize("attention", ["none", "se", "mhsa", "cbam"])
def test_bf16_leaves_every_image_its_own_margin(attention: str, pooling: str) -> None:
    model = build(attention, pooling=pooling)
    exact = margins(predict_logits(model, VAL.images, batch_size=30))
    fast = margins(predict_logits(model, VAL.images, batch_size=30, dtype=torch.bfloat16))
    assert len(np.unique(exact)) >= 0.98 * len(VAL)
    assert len(np.unique(fast)) >= 0.95 * len(VAL)
    np.testing.assert_allclose(fast, exact, atol=0.5 * exact.std())
    is_other = VAL.labels.numpy() == 1
    figures = [roc_auc_score(is_other, scores) for scores in (exact, fast)]
    assert abs(figures[0] - figures[1]) < 0.03


def test_head_of_kept_features_has_their_bits(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BT_CACHE", str(tmp_path))
    model, names = build("none"), ("a", "b", "c")
    how = Inference(batch_size=30, dtype=torch.bfloat16, keep=True)
    kept = [predict(model, VAL, names, how).logits for _ in range(2)]  # computed, and from disk
    np.testing.assert_array_equal(*kept)
    assert len(np.unique(margins(torch.from_numpy(kept[1])))) >= 0.98 * len(VAL)
