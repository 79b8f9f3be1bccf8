"""Benchmarks: figures of this machine with this commit, each beside a limit that was measured in the same run."""
