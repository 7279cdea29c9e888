"""bt-compare: finished runs side by side."""

from __future__ import annotations

from functools import partial

from braintumor.cli.shell import command, workflow

run = workflow("compare", "compare")
main = partial(command, "compare", run)
