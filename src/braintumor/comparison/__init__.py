"""What stands behind bt-compare: reading runs, telling their images apart, ranking, testing."""
