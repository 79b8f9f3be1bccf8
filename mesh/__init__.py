"""What every process of brandmesh is built from. It knows no service."""

import os

from mesh.lean_imports import without

# Read when grpc is imported. No child of ours goes on with its parent's channels; but gRPC's threads would be started
# in a child that is about to become another program, and now and then abort it before it is that.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Loaded here, because whoever is the first to load it decides: with rich, which is installed for the command lines, it
# could colour tracebacks, at 3 MB and 30 ms of every process.
with without("rich"):
    import structlog  # noqa: F401
