"""The SMS service: accepts, freezes, records, publishes and answers for every message."""
