"""bt-tune: a search for better settings of bt-train, judged on validation."""

from __future__ import annotations

from functools import partial

from braintumor.cli.shell import command, workflow

run = workflow("tune", "tune")
main = partial(command, "tune", run)
