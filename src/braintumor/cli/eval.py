"""bt-eval: a checkpoint on its own data set or on any other; several on several as a matrix."""

from __future__ import annotations

from braintumor.cli.shell import entry

run, main = entry("eval", "evaluate")
