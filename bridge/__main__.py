"""`python -m bridge` is `estafeta`."""

from bridge.cli import main

if __name__ == "__main__":
    main()
