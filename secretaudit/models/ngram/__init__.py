"""An n-gram model: interpolated modified Kneser–Ney."""
