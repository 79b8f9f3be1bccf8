"""Orders and their payments: buying an SMS package."""
