"""``python -m hwsim``, the same as the command ``hwsim``."""

from .cli import main

if __name__ == "__main__":
    main()
