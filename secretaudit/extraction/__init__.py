"""Extraction: which secrets of a format a model prefers."""
