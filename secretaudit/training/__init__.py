"""Training recurrent language models: one loop, deterministic by seed, resumed to the same weights."""
