"""Payment channels: where payments are opened, told of, paid back and accounted for."""
