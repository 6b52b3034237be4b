"""Exposure: how far ahead of the other secrets of its format a canary stands."""
