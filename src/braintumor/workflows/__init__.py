"""What a command does, as functions that return results; the Python API."""
