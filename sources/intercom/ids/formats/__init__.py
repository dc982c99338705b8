"""The formats of list files: one module each, all of them give batches of `Cells`."""
