"""Functions and torch modules of the user as language models."""
