"""Pixels in, logits out: backbone -> attention -> head, each chosen by name."""
