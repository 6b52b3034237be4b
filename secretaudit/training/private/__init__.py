"""Differentially private training whose unit is a record: sampling, per-record gradients, clipping, noise and the account of ε."""
