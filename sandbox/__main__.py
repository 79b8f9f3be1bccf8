"""Entry point: `python -m sandbox`."""

from sandbox.server import main

if __name__ == "__main__":
    main()
