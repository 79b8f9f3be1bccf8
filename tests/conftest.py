"""For all suites."""

import mesh  # noqa: F401  # before grpc is imported: tests start processes
