"""Where in a slice an answer comes from, and how far that may be believed.

heatmaps.py draws the maps by every method, attention.py those of what self-attention looked at,
checks.py puts numbers on how far such a map can be trusted.
"""

from braintumor.evaluation.explain.attention import attention_maps
from braintumor.evaluation.explain.checks import check_explanations
from braintumor.evaluation.explain.heatmaps import Layer, Method, cam_heatmaps, check_method

__all__ = [
    "Layer",
    "Method",
    "attention_maps",
    "cam_heatmaps",
    "check_explanations",
    "check_method",
]
