"""The SMS worker: drains the queues of each brand, submits to the provider, and takes its receipts."""
