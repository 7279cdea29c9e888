"""Predictions in, evidence out. Only predict.py and cam/ import torch; a reader needs none."""
