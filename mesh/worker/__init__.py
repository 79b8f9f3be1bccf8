"""The loop that works queues: routes say which handler takes which queue, outcomes what becomes of each message."""

from mesh.retry import RetryPolicy
from mesh.worker.route import Dead, Done, Handler, Outcome, Retry, Route
from mesh.worker.worker import Worker

__all__ = ["Dead", "Done", "Handler", "Outcome", "Retry", "RetryPolicy", "Route", "Worker"]
