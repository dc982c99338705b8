"""Where rows go: location, tables and rights, locks, errors, and reading a dataset. Knows no API."""
