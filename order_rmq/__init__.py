"""What orders have done behind queues and by the clock: paid packages granted, overdue orders cancelled."""
