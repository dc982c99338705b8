"""Where rows go: location, rights, locks, faults, and reading a dataset. Knows no API."""
