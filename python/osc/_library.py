"""The shared library: its functions (include/osc/osc.h), and its errors as Python's."""

from __future__ import annotations

import ctypes
import math
import numbers
import pathlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_FOLDER = pathlib.Path(__file__).parent
_library = ctypes.CDLL(str(_FOLDER / "libosc.so"))

_INT32, _INT64, _DOUBLE, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_SIGNATURES = {
    "osc_matching_similarity_loss_per_img": [_INT32]
    + [_POINTER] * 5
    + [_INT32, _DOUBLE, _INT32]
    + [_POINTER] * 8,
    "osc_matching_contrastive_loss": [_INT32]
    + [_POINTER] * 3
    + [_INT32, _DOUBLE, _INT32, _DOUBLE, _INT32]
    + [_POINTER] * 11,
    "osc_matching_contrastive_loss_best_worst": [_INT64, _INT64, _DOUBLE] + [_POINTER] * 2,
    "osc_matching_similarity_loss_small_to_large": [_INT32]
    + [_POINTER] * 5
    + [_INT32, _DOUBLE, _INT32]
    + [_POINTER] * 9,
    "osc_variance_covariance_loss": [_INT32] + [_POINTER] * 3 + [_INT32] + [_POINTER] * 8,
    "osc_match_slots": [_INT32] + [_POINTER] * 3 + [_DOUBLE, _INT32] + [_POINTER] * 4,
    "osc_linear_sum_assignment": [_INT32] + [_POINTER] * 3 + [_INT32, _INT32] + [_POINTER] * 5,
}
for _name, _arguments in _SIGNATURES.items():
    _function = getattr(_library, _name)
    _function.argtypes = _arguments
    _function.restype = _INT32
# They return a status, for `check`. The interpreter's lock is released meanwhile.
similarity_loss: Callable[..., int] = _library.osc_matching_similarity_loss_per_img
contrastive_loss: Callable[..., int] = _library.osc_matching_contrastive_loss
small_to_large_loss: Callable[..., int] = _library.osc_matching_similarity_loss_small_to_large
variance_covariance_loss: Callable[..., int] = _library.osc_variance_covariance_loss
match_slots: Callable[..., int] = _library.osc_match_slots
linear_sum_assignment: Callable[..., int] = _library.osc_linear_sum_assignment
_library.osc_version.restype = ctypes.c_char_p
_library.osc_last_error.restype = ctypes.c_char_p
_library.osc_instruction_set.restype = ctypes.c_char_p
_library.osc_set_instruction_set.argtypes = [ctypes.c_char_p]

_ERRORS: dict[int, type[Exception]] = {1: ValueError, 2: ValueError, 3: ValueError, 4: MemoryError}
_POLICIES = {"propagate": 0, "unmatched": 0, "raise": 1}
NONE, MEAN, SUM = 0, 1, 2  # reductions, as osc.h numbers them
REDUCTIONS = {"none": NONE, "mean": MEAN, "sum": SUM}


def companion(name: str) -> pathlib.Path:
    """Where another library of the package is, which a build may lack."""
    if not (_FOLDER / name).exists():
        raise ImportError(
            f"this build of osc has no {name}; the wheel has it, and so has a build of the "
            "sources with its option on (python/CMakeLists.txt)"
        )
    return _FOLDER / name


def version() -> str:
    text: bytes = _library.osc_version()
    return text.decode()


def instruction_set() -> str:
    """The instruction set whose kernels run: the widest of this processor's, unless
    OSC_INSTRUCTION_SET or `set_instruction_set` says another."""
    text: bytes = _library.osc_instruction_set()
    return text.decode()


def set_instruction_set(name: str) -> None:
    """Force the kernels of ``"avx512"``, ``"avx2"``, ``"x86-64"``, ``"neon"`` or ``"generic"``;
    ``""`` is the widest again. ValueError for one that this processor lacks."""
    if not isinstance(name, str) or "\0" in name:
        raise ValueError(f"the instruction set is {name!r}; wanted one of the names above")
    check(_library.osc_set_instruction_set(name.encode()))


def check(status: int, names: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raises what a function of the library reported. ``names``: what the caller calls the
    library's arguments."""
    if status != 0:
        raise _ERRORS.get(status, RuntimeError)(renamed(_library.osc_last_error().decode(), names))


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text of an error that begins with the name of an argument, ``"slots: ..."``."""
    name, colon, rest = text.partition(":")
    return names.get(name, name) + colon + rest


def policy(name: str, value: str, benign: str) -> int:
    if not isinstance(value, str) or value not in (benign, "raise"):
        raise ValueError(f'{name} is {value!r}; wanted "{benign}" or "raise"')
    return _POLICIES[value]


def reduction(value: str) -> int:
    if not isinstance(value, str) or value not in REDUCTIONS:
        raise ValueError(f'reduction is {value!r}; wanted "none", "mean" or "sum"')
    return REDUCTIONS[value]


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
    except OverflowError:  # of an integer
        number = math.inf
    if not 0 < number < math.inf:  # not isfinite, which torch.compile does not know
        raise ValueError(f"{name} is {_shown(value)}; wanted a positive, finite number")
    return number


def integer(name: str, value: Any) -> int:
    """``value`` as a C function takes it."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}; wanted an integer")
    if not is_int64(int(value)):
        raise ValueError(f"{name} is {_shown(value)}; wanted an integer of 64 bits")
    return int(value)


def is_int64(value: int) -> bool:
    """ctypes would cut another, silently."""
    return -(2**63) <= value < 2**63


def _shown(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes out no integer of more than 4300 digits
        return f"an integer of {value.bit_length()} bits"


def check_temperature(temperature: float, in_double: bool) -> None:
    """Its inverse must fit in the type that is computed in, with room for what the kernels make of
    it."""
    largest = 1.7976931348623157e308 if in_double else 3.4028234663852886e38
    if 4 / (math.log(2) * temperature) > largest:
        raise ValueError(
            f"temperature is {temperature}: its inverse must be finite in the type that is "
            "computed in"
        )


def matching_contrastive_loss_best_worst(
    B: int, S: int, temperature: float = 1.0
) -> tuple[float, float]:
    """The contrastive loss at its two ends, for B images of S slots: to see where a loss stands.

    Parameters
    ----------
    B, S : int
        Images, and slots of a view; at least 1. With ``B = 1`` the ends are those of
        `matching_contrastive_loss_per_img`; of ranks of a group, B is the images of all.
    temperature : float
        Positive and finite.

    Returns
    -------
    best : float
        ``log(exp(1 / temperature) + 2BS - 2) - 1 / temperature``: matched slots are equal, all
        others orthogonal to them.
    worst : float
        ``log(2BS - 1)``: all slots are equal. (Losses beyond are possible: of slots that resemble
        others more than their matches.)

    Raises
    ------
    TypeError
        Where an argument is no number of its kind.
    ValueError
        Where a size is below 1 or beyond 64 bits, or the temperature not positive and finite.

    Notes
    -----
    Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
    object-centric representations", 2022 (arXiv 2203.05997).

    Examples
    --------
    >>> from osc.numpy import matching_contrastive_loss_best_worst
    >>> best, worst = matching_contrastive_loss_best_worst(2, 3, temperature=0.1)
    >>> round(best, 6), round(worst, 4)
    (0.000454, 2.3979)
    """
    best, worst = ctypes.c_double(), ctypes.c_double()
    check(
        _library.osc_matching_contrastive_loss_best_worst(
            integer("B", B),
            integer("S", S),
            positive("temperature", temperature),
            ctypes.byref(best),
            ctypes.byref(worst),
        )
    )
    return best.value, worst.value
