"""The source while dlt extracts it: reading ids, choosing the tables, giving dlt its items.

Here belongs what the library needs from dlt's extraction. What the command needs too does not.
"""
