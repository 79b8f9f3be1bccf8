"""Real servers for the suites and the benchmarks, each started on loopback below var/ by a small script."""
