"""The command line: options → one public function → record → table.

Nothing is computed here. Each command could be written by a user in five lines of Python, with the same names.
"""

from secretaudit.cli.application import COMMANDS, application, main

__all__ = ["COMMANDS", "application", "main"]
