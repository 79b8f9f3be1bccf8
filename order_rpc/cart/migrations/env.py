"""Alembic's entry point; the connection is opened by mesh.migrations."""

from mesh.migrations import run_env
from order_rpc.cart.tables import metadata

run_env(metadata)
