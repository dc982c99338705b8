"""What dlt runs when it extracts the source: ids, target and items. Nothing the command needs belongs here."""
