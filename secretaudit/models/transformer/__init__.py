"""Causal transformers: from a directory, the hub, an adapter or a GGUF file."""
