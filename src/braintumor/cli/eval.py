"""bt-eval: a checkpoint on its own data set or on any other; several on several as a matrix."""

from __future__ import annotations

from functools import partial

from braintumor.cli.shell import command, workflow

run = workflow("evaluate", "evaluate")
main = partial(command, "eval", run)
