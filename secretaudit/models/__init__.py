"""Language models: the protocol and its backends."""
