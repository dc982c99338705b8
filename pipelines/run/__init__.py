"""The run of a load: chunks, guard, deletions, workspace. Knows nothing of the command line."""
