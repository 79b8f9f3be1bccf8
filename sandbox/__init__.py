"""Stand-ins for the outside world, speaking its real HTTP: SMS provider, payment channel, Tencent Cloud IM."""
