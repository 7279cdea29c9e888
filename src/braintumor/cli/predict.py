"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from braintumor.cli.shell import entry

run, main = entry("predict", "predict")
