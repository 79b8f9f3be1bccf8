"""The operator's command: runs the whole mesh on one machine, opens brands, shows queues and dead letters."""

import mesh  # noqa: F401  # before grpc is imported: this package starts processes
