"""Run by Alembic, from `gateway.keys.storage.migrate`."""

from gateway.keys.storage import METADATA
from mesh.migrations import run_env

run_env(METADATA)
