"""The terminal: help, log lines, progress. Knows no API and no destination."""
