"""SMS gateways that others wrote, measured on this machine with the messages that brandmesh is measured with."""
