"""The commands: a module each. What they share belongs in `run`, `destinations` or `cli`."""
