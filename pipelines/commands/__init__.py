"""The commands, a module each. Shared code belongs in `run`, `destinations` or `cli`."""
