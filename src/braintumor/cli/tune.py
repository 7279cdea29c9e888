"""bt-tune: a search for better settings of bt-train, judged on validation."""

from __future__ import annotations

from braintumor.cli.shell import entry

run, main = entry("tune", "tune")
