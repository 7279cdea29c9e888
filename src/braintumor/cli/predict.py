"""bt-predict: classify pictures that have no labels."""

from __future__ import annotations

from functools import partial

from braintumor.cli.shell import command, workflow

run = workflow("predict", "predict")
main = partial(command, "predict", run)
