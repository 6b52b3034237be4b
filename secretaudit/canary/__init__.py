"""Formats, their secret spaces, and ledgers of canaries.

A format ("my pin is {digits:4}") describes a finite set of secrets as a small automaton, which
counts, ranks and draws them exactly. A ledger lists canaries: secrets drawn from formats, and how
often each was inserted.
"""
