"""The parts of docstrings that many functions share: the options, from the table of operators, the
errors and the sources."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from ._operators import BOOLEAN, DOUBLE, TABLE, Option

_Function = TypeVar("_Function", bound=Callable[..., Any])

_WITH_GRAD = (
    'Return the gradient of the loss as well; with ``"none"`` that of the sum of the losses.'
)
_PAPER = (
    'F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and '
    'object-centric representations", 2022 (arXiv 2203.05997).'
)
_SOURCES = {
    "{paper}": _PAPER,
    "{SimSiam}": 'X. Chen and K. He, "Exploring simple Siamese representation learning", CVPR '
    "2021, in the form of " + _PAPER,
    "{SimCLR}": 'T. Chen, S. Kornblith, M. Norouzi and G. Hinton, "A simple framework for '
    'contrastive learning of visual representations", ICML 2020, in the form of ' + _PAPER,
    "{VICReg}": 'A. Bardes, J. Ponce and Y. LeCun, "VICReg: variance-invariance-covariance '
    'regularization for self-supervised learning", ICLR 2022, in the form of ' + _PAPER,
}


def documented(
    operator: str, array: str = "array", note: str = ""
) -> Callable[[_Function], _Function]:
    """Fills in the docstring of a function that calls the operator. ``{options}`` becomes a
    paragraph for each option that it takes, which ``note`` ends. ``{raises}`` becomes the section
    on errors, of arguments that are to be ``array``. The name of a source becomes the source."""

    def document(function: _Function) -> _Function:
        code = function.__code__
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        options = [x for x in TABLE[operator].options if x.name in taken]
        paragraphs = [_paragraph(x, note) for x in options]
        if "with_grad" in taken:
            paragraphs.append("with_grad : bool\n" + _filled(_WITH_GRAD, "    "))
        parts = {"{options}": "\n".join(paragraphs), "{raises}": _raises(operator, taken, array)}
        parts |= {name: _filled("Source: " + text) for name, text in _SOURCES.items()}
        text = function.__doc__ or ""  # which python -OO leaves out
        for place, part in parts.items():
            text = text.replace(f"    {place}\n", textwrap.indent(part, "    ") + "\n")
        function.__doc__ = text or None
        return function

    return document


def _paragraph(option: Option, note: str) -> str:
    values = ", ".join(f'"{x}"' for x in option.values)
    kind = (
        "bool" if option.kind == BOOLEAN else "float" if option.kind == DOUBLE else f"{{{values}}}"
    )
    text = option.help + ("; positive and finite." if option.kind == DOUBLE else ".")
    return f"{option.name} : {kind}\n" + _filled(f"{text} {note}".strip(), "    ")


def _raises(operator: str, taken: tuple[str, ...], array: str) -> str:
    op = TABLE[operator]
    numbers = " or ".join(f"`{x.name}`" for x in op.options if x.kind == DOUBLE and x.name in taken)
    wrong_types = [
        f"an argument is no {array} of these dtypes",
        "two dtypes differ" if len(op.inputs) > 1 else "",
        f"{numbers} is no number" if numbers else "",
        "`group` is no process group" if "group" in taken else "",
    ]
    wrong_values = "a shape or an option is not as above"
    if "group" in taken:
        wrong_values += ", on every rank where the ranks differ"
    if "on_nonfinite" in taken:
        wrong_values += '; or, with ``"raise"``, naming the first image or group that is not finite'
    types = _filled("Where " + ", or ".join(filter(None, wrong_types)) + ".", "    ")
    values = _filled(f"Where {wrong_values}.", "    ")
    return f"Raises\n------\nTypeError\n{types}\nValueError\n{values}"


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 92, initial_indent=indent, subsequent_indent=indent)
