"""What stands before a vendor that somebody else runs: one HTTP call, its circuit, its rate."""
