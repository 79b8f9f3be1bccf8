"""Alembic's entry point; the connection is opened by mesh.migrations."""

from mesh.migrations import run_env
from messagecenter_rpc.tables import metadata

run_env(metadata)
