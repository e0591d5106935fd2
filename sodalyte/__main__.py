"""``python -m sodalyte``."""

from sodalyte.cli import main

main()
