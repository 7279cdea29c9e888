"""The templates of this folder, in which every value is escaped."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2

from braintumor.report.plots.style import elide

FOLDER = Path(__file__).parent


def environment() -> jinja2.Environment:
    """Jinja2 for pages: escapes what it is given, and refuses what it does not know."""
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["elide"] = elide
    return jinja


def policy_hash(text: str) -> str:
    """SHA-256 in base64: what the policy of a page asks of its own style or script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
