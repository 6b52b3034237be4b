"""Causal convolutional language models, in the form of the ``transformers`` library."""
