"""The cart: what a user means to order."""
