"""The bus on Apache RocketMQ 5: messages on its brokers, and hints about them in Redis."""
