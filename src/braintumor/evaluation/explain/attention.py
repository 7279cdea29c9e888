"""What self-attention looked at, whatever the answer was."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from braintumor.errors import ConfigError
from braintumor.evaluation.explain._hooks import left_as_found, to_tensor
from braintumor.models.attention.mhsa import SelfAttention
from braintumor.models.classifier import Classifier

# N images, B batch, S side of the picture, C channels, h w of the map, T = h*w tokens,
# H heads, d head width


@torch.no_grad()
def attention_maps(
    model: Classifier, images: np.ndarray, device: torch.device | str, batch_size: int
) -> np.ndarray:
    """How much each place is attended to: float32 (N, S, S) in [0, 1], 1 at the strongest.

    images: uint8 (N, S, S) or (N, S, S, 3).
    The attention weights of all tokens on a token, averaged over heads and tokens and divided
    by the strongest; nothing is subtracted, so attention that is spread evenly is warm all over
    and not stretched into a pattern. One layer needs no rollout. The maps say what was mixed,
    not what decided: for that, see cam_heatmaps.
    Raises ConfigError when the model's attention has no such weights.
    """
    attention = check_attention(model)
    maps = np.zeros(images.shape[:3], dtype=np.float32)
    with left_as_found(model), torch.autocast(torch.device(device).type, enabled=False):
        for start in range(0, len(images), batch_size):
            chunk = slice(start, start + batch_size)
            features_BChw = model.forward_features(to_tensor(images[chunk], device)).float()
            received_BT = attention_weights(attention, features_BChw).mean(dim=(1, 2))
            received_Bhw = received_BT.unflatten(1, features_BChw.shape[2:])
            maps[chunk] = _enlarged(received_Bhw, images.shape[1:3]).cpu().numpy()
    return maps


def check_attention(model: Classifier) -> SelfAttention:
    """The model's attention. Raises ConfigError when it does not weigh places against places."""
    attention = model.attention
    if not isinstance(attention, SelfAttention):
        name = model.settings.get("attention", {}).get("name", type(attention).__name__)
        raise ConfigError(
            f"eval.cam=attention shows what mhsa looked at, and model.attention.name={name} has no "
            "attention between places; use eval.cam=gradcam, hirescam or layercam, or a model "
            "with mhsa"
        )
    return attention


def attention_weights(attention: SelfAttention, x_BChw: torch.Tensor) -> torch.Tensor:
    """softmax(q k / sqrt(d)) of the module for its input: float (B, H, T, T), rows sum to 1.

    Row t is what token t looks at. The module itself never has these weights in memory.
    """
    q_BHTd, k_BHTd, _ = attention.queries_keys_values(x_BChw)
    scores_BHTT = q_BHTd @ k_BHTd.transpose(2, 3) / q_BHTd.shape[-1] ** 0.5
    return scores_BHTT.softmax(dim=-1)


def _enlarged(maps_Bhw: torch.Tensor, size_px: tuple[int, ...]) -> torch.Tensor:
    """float (B, S, S), the strongest pixel of each 1."""
    large = F.interpolate(maps_Bhw[:, None], size_px, mode="bilinear", align_corners=False)[:, 0]
    return large / large.amax(dim=(1, 2), keepdim=True)
