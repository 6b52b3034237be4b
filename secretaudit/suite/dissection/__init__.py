"""Dissection: how networks that learned from true labels differ from networks that memorized random ones.

The questions are those of Gu & Tresp, "Neural Network Memorization Dissection" (2019), of which only the abstract was available to us: networks
prioritize simple input patterns, and there is one way to learn but N ways to memorize. Every estimator in this folder is ours.
"""
