"""Wallets: the coins of users, which are yuan, and what became of each of them."""
