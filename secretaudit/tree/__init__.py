"""The weighted tree of secrets: automaton × tokenizer × model."""

from secretaudit.tree.budget import Budget, Memory
from secretaudit.tree.secret_tree import Frontier, SecretTree
from secretaudit.tree.token_automaton import TokenAutomaton

__all__ = ["Budget", "Frontier", "Memory", "SecretTree", "TokenAutomaton"]
