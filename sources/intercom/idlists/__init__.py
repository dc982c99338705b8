"""The forms of an id list: one module each, all of them giving batches of `Cells`.

    locations  where a list is: a path, a URL, standard input; afterwards a file of this machine
    streams    that file as bytes: what its name and its first bytes say, unpacked, as UTF-8, bounded
    lines      txt
    delimited  csv, tsv
    jsons      json, jsonl, webhook payloads
    objects    what a program holds: values, rows, Arrow data, columns and frames
    columnar   parquet, and the Arrow batches of a query
    queries    a query of any database that SQLAlchemy knows
    columns    which column holds the ids
    exact      typed values as text, where no digit can be lost
    checks     what can be an id

`sources/intercom/ids.py` unites them.
"""
