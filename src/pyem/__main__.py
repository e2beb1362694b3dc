"""``python -m pyem`` is the command ``pyem``."""

from pyem.cli import main

if __name__ == "__main__":
    main()
