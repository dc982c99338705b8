"""Lists of call ids in every format, read and checked.

Here belongs what turns a file, a URL, a query or an object into ids. No API, no dlt, no settings.
"""
