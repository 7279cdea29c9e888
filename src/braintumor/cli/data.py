"""bt-data: scan, audit, split and explore a data set."""

from __future__ import annotations

from braintumor.cli.shell import entry

run, main = entry("data", "explore")
