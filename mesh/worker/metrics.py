"""What the worker counts: by route, never by queue, because queues are as many as brands."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

messages = Counter("brandmesh_worker_messages", "Messages by what became of them", ["route", "outcome"])
overdue = Counter("brandmesh_worker_overdue", "Failures of messages older than their policy's alert age", ["route"])
in_flight = Gauge("brandmesh_worker_in_flight", "Messages in handlers now", ["route"])
handler_seconds = Histogram("brandmesh_worker_handler_seconds", "Time that a handler took for a batch", ["route"])
age_seconds = Histogram(
    "brandmesh_worker_age_seconds",
    "Age of the oldest message of a batch when a handler got it",
    ["route"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200, 259200),
)
