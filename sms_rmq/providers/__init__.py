"""Calling SMS providers: the port, the vendors, and what protects an account from us and us from an account."""
