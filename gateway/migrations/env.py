"""Alembic's entry point; the connection is opened by mesh.migrations."""

from gateway.tables import metadata
from mesh.migrations import run_env

run_env(metadata)
