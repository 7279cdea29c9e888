"""Train and evaluate brain-MRI classifiers: honest numbers, fast runs, one command."""

__version__ = "0.1.0"
