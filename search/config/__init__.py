"""From a command line to a checked study: the schema, Hydra, and one line for every mistake."""
