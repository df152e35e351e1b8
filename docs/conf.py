"""The documentation as a site: `make docs` builds it into build/docs. The function reference comes
from the docstrings of the package as it is built."""

import pathlib
import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

root = pathlib.Path(__file__).parent.parent

project = "osc"
author = copyright = "the osc authors"
release = re.search(r"project\(osc VERSION ([0-9.]+)", (root / "CMakeLists.txt").read_text())[1]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["requirements.txt", "figures"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say shapes and dtypes, which types do not
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"osc {release}"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]


def append_formula(writer, node, *, as_block):
    """A formula as MathML, which browsers draw without a script or a network."""
    try:
        formula = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula: %s", error, location=node)
        formula = writer.encode(node.astext())
    writer.body.append(f'<div class="formula">{formula}</div>' if as_block else formula)
    raise nodes.SkipNode


def escape_bars(app, what, name, obj, options, lines):
    """Norms are |x| in the help texts of the table of operators: not a substitution."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(r"(``.*?``)|\|", lambda found: found[1] or r"\|", line)


def setup(app):
    app.connect("autodoc-process-docstring", escape_bars)
    app.add_html_math_renderer(
        "mathml",
        (lambda writer, node: append_formula(writer, node, as_block=False), None),
        (lambda writer, node: append_formula(writer, node, as_block=True), None),
    )
