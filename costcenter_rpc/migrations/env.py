"""Alembic's entry point; the connection is opened by mesh.migrations."""

from costcenter_rpc.tables import metadata
from mesh.migrations import run_env

run_env(metadata)
