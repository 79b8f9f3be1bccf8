"""API keys: who may call, for which brands, with which scopes."""
