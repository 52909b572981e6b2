"""``python -m diorama`` is the command ``diorama``."""

from diorama.cli import main

if __name__ == "__main__":
    main()
