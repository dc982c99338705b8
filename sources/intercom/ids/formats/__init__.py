"""The formats of list files, a module each: a reader takes a `ListFile` and yields `Cells`.

Where a file comes from and what can be an id belong into `ids`.
"""
