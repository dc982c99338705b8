"""Lists of call ids in every form, read and checked. Knows no API and no dlt."""
