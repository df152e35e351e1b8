# The documentation as a site: `make docs` builds it into build/docs. The reference comes from the
# docstrings of the package as it is built.
import pathlib
import re

root = pathlib.Path(__file__).parent.parent

project = "osc"
author = "the osc authors"
release = re.search(r"project\(osc VERSION ([0-9.]+)", (root / "CMakeLists.txt").read_text())[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["requirements.txt"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say shapes and dtypes, which types do not
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"osc {release}"
