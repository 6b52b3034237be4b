"""Language models under the suite: their text, noise made of it, small trainings with canaries, and what is read off single records."""
