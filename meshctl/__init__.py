"""The operator's command: runs the whole mesh on one machine, opens brands, shows queues and dead letters."""
