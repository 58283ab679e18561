"""Double entry: chart of accounts, rules from events to entries, posting in batches."""
