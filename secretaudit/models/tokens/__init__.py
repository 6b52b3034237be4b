"""Tokenizers, and what an audit sees of them."""
