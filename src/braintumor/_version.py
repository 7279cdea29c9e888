"""The version, for whoever writes it into a file; pyproject.toml has the same."""

__version__ = "0.1.0"
