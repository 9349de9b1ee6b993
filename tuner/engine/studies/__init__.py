"""Studies: what is checked before one, creating it, adding to it, and the verbs that people have for it."""
