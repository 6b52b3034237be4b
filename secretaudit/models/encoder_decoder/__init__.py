"""Encoder–decoder models: what a target costs, given a source."""
