from gateway.keys.cli import cli

cli()
