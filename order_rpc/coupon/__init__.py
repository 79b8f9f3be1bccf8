"""Coupons: what a user may pay less, once."""
