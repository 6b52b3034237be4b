"""How Sphinx builds these pages: ``python -m sphinx -W -n docs OUTPUT``. Nothing is fetched from the network."""

from secretaudit import __version__

project = "secretaudit"
author = "the authors of secretaudit"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"secretaudit {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

nitpicky = True
nitpick_ignore = [
    # Napoleon takes what stands before a colon in a property's first line for its type.
    ("py:class", "log2"),
    ("py:class", "R"),
    ("py:class", "SHA-256 over canaries and salt"),
    # Types of functions, spelled out in the docstrings.
    ("py:class", "NextToken"),
    ("py:class", "ReadToken"),
    (
        "py:class",
        "PreTrainedTokenizerFast",
    ),  # of transformers, imported only when types are checked
    ("py:class", "Path"),  # pathlib's, in a dataclass of strings and numbers
    # Meant from within its own module.
    ("py:func", "commitment"),
]
# Other projects' names cannot be resolved without fetching their inventories, and the build stays offline.
nitpick_ignore_regex = [("py:.*", r"(pathlib|collections\.abc|numpy|torch)\..*")]


def _escape_bars(_app, _what, _name, _object, _options, lines):  # the signature is Sphinx's
    """|R| is a number of secrets here and a substitution in reStructuredText."""
    lines[:] = [line.replace("|R|", r"\|R\|") for line in lines]


def setup(app):
    """Connect what is defined above."""
    app.connect("autodoc-process-docstring", _escape_bars)
