"""Run with `python -m meshctl`; `--help` lists the commands."""

from meshctl.cli import cli

if __name__ == "__main__":
    cli()
