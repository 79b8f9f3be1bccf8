"""Users of brands: their accounts, and the tokens with which they call for themselves."""
