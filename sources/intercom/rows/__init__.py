"""Calls as rows: the columns of a table and how each value is read.

Here belongs what a call of the API means, field by field. No HTTP, no dlt, nothing about other tables' loading.
"""
