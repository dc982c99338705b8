"""One request to the Intercom API: client, answers, retry, rate budget. Knows no table and no list of ids."""
