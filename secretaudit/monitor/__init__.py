"""Exposure while a model trains, as a watcher of our own training and as a callback of the ``Trainer`` of transformers."""
