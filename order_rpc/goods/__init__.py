"""Goods: what can be bought, what it costs, and how much of it is there."""
