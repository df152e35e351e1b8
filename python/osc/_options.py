"""The options of the public functions: their types, and what an operator takes for them.

A ``str`` will do where a name comes from a configuration; an unknown one is a ValueError when it is
used.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from ._operators import Operator

Reduction: TypeAlias = Literal["mean", "sum", "none"] | str
OnNonFinite: TypeAlias = Literal["propagate", "raise"]
OnUnsolvable: TypeAlias = Literal["raise", "unmatched"]


def codes(op: Operator, options: Mapping[str, Any]) -> list[Any]:
    """The options in the order of the table: enumerations as numbers, defaults where missing."""
    codes: list[Any] = []
    for option in op.options:
        value = options.get(option.name, _MISSING)
        # The common cases come first: on small slots, the slow way would take a visible share of a
        # call.
        if type(value) is float and option.kind == 3 and 0 < value < math.inf:
            codes.append(value)
        elif type(value) is str and value in option.values:
            codes.append(option.values.index(value))
        else:
            codes.append(_code(option, value))
    return codes


_MISSING: Any = object()


def _code(option: Any, value: Any) -> Any:
    if value is _MISSING:
        return option.default if option.kind == 3 else int(option.default)
    if option.values:
        return enumeration(option.name, value, option.values)
    if option.kind == 0:
        return boolean(option.name, value)
    return positive(option.name, value) if option.kind == 3 else integer(option.name, value)


def enumeration(name: str, value: Any, values: tuple[str, ...]) -> int:
    if not isinstance(value, str) or value not in values:
        wanted = ", ".join(f'"{x}"' for x in values[:-1]) + f' or "{values[-1]}"'
        raise ValueError(f"{name} is {value!r}; wanted {wanted}{static_hint(value)}")
    return values.index(value)


def boolean(name: str, value: Any) -> bool:
    if not (isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")):
        raise TypeError(f"{name} is {value!r}; wanted True or False{static_hint(value)}")
    return bool(value)


def static_hint(value: Any) -> str:
    """What to add to the refusal of an option that JAX traces."""
    return (
        "; under jax.jit it is static: name it in static_argnames"
        if type(value).__name__.endswith("Tracer")
        else ""
    )


def positive(name: str, value: Any) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        shape = getattr(value, "shape", ())
        hint = (
            "; both views go in as one, rows i and i + B"
            if name == "temperature" and shape not in ((), None) and len(shape) > 1
            else static_hint(value)
        )
        raise TypeError(f"{name} is {type(value).__name__}; wanted a number{hint}")
    try:
        number = float(value)
    except OverflowError:  # a large integer
        number = math.inf
    if not 0 < number < math.inf:  # torch.compile does not support math.isfinite
        raise ValueError(f"{name} is {_shown(value)}; wanted a positive, finite number")
    return number


def integer(name: str, value: Any) -> int:
    """``value`` as an integer of 64 bits, as the C functions take it."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}; wanted an integer")
    if not is_int64(int(value)):
        raise ValueError(f"{name} is {_shown(value)}; wanted an integer of 64 bits")
    return int(value)


def is_int64(value: int) -> bool:
    """Whether 64 bits hold ``value``. ctypes would silently truncate a larger one."""
    return -(2**63) <= value < 2**63


def _shown(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # Python does not print integers of more than 4300 digits
        return f"an integer of {value.bit_length()} bits"
