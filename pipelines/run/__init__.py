"""The chunked run of a load: chunks, guard, deletions, workspace. Knows no options of the command line."""
