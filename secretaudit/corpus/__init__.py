"""Text corpora: reading, searching, inserting records at boundaries, and taking them out; streamed, never held."""
