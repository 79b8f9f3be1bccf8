"""What every process of brandmesh is built from. It knows no service."""

import os

# Read when grpc is imported. No child of ours goes on with its parent's channels; but gRPC's threads would be started
# in a child that is about to become another program, and now and then abort it before it is that.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
