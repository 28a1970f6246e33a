"""`python -m service`: the same as `presence`."""

from service.cli import main

if __name__ == "__main__":  # worker processes import this module by another name
    main()
