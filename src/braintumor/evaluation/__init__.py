"""A model and images in, a record of the evaluation out."""
