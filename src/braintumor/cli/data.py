"""bt-data: scan, audit, split and explore a data set."""

from __future__ import annotations

from functools import partial

from braintumor.cli.shell import command, workflow

run = workflow("explore", "explore")
main = partial(command, "data", run)
