"""Buying SMS packages: orders of brands, their payments, and the grants behind them."""
