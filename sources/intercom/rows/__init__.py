"""An answer in, a row out: the columns of a call and how each value is read. Knows no HTTP and no dlt."""
