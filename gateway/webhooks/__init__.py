"""What providers call: not transcoded, because each provider has its own form."""
