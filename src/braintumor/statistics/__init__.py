"""Figures with intervals from arrays; no torch, no pictures."""
