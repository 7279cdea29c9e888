"""bt-compare: finished runs side by side."""

from __future__ import annotations

from braintumor.cli.shell import entry

run, main = entry("compare", "compare")
