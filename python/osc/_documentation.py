"""The paragraphs of docstrings on options, which come from the table of operators."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from ._operators import BOOLEAN, DOUBLE, TABLE, Option

_Function = TypeVar("_Function", bound=Callable[..., Any])

_PLACE = "    {options}\n"
_WITH_GRAD = (
    'Return the gradient of the loss as well; with ``"none"`` that of the sum of the losses.'
)


def options_of(operator: str, note: str = "") -> Callable[[_Function], _Function]:
    """Puts a paragraph for each option of the function that the operator has in the place of
    ``{options}`` in its docstring. ``note`` ends each of them."""

    def document(function: _Function) -> _Function:
        code = function.__code__
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        paragraphs = [_paragraph(x, note) for x in TABLE[operator].options if x.name in taken]
        if "with_grad" in taken:
            paragraphs.append("with_grad : bool\n" + _indented(_WITH_GRAD))
        text = textwrap.indent("\n".join(paragraphs), "    ") + "\n"
        if function.__doc__ is not None:  # which python -OO leaves out
            assert _PLACE in function.__doc__
            function.__doc__ = function.__doc__.replace(_PLACE, text)
        return function

    return document


def _paragraph(option: Option, note: str) -> str:
    values = ", ".join(f'"{x}"' for x in option.values)
    kind = (
        "bool" if option.kind == BOOLEAN else "float" if option.kind == DOUBLE else f"{{{values}}}"
    )
    text = option.help + ("; positive and finite." if option.kind == DOUBLE else ".")
    return f"{option.name} : {kind}\n" + _indented(f"{text} {note}".strip())


def _indented(text: str) -> str:
    return textwrap.fill(text, 92, initial_indent="    ", subsequent_indent="    ")
