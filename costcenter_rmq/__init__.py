"""The consumer beside the cost center: drains its queues and runs its jobs by the clock."""
