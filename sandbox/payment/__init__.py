"""A payment channel: signed orders, a page to pay on, signed notifications repeated until they are taken."""
