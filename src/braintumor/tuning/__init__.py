"""A search for settings: its space, the study that all workers share, and its page."""
