"""``python -m secretaudit`` is the command ``secretaudit``."""

from secretaudit.cli import main

main()
