"""The shared library: its functions (include/osc/osc.h), and its errors as Python's."""

from __future__ import annotations

import ctypes
import pathlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from . import _options

_FOLDER = pathlib.Path(__file__).parent
_library = ctypes.CDLL(str(_FOLDER / "libosc.so"))

_library.osc_version.restype = ctypes.c_char_p
_library.osc_last_error.restype = ctypes.c_char_p
_library.osc_instruction_set.restype = ctypes.c_char_p
_library.osc_set_instruction_set.argtypes = [ctypes.c_char_p]

_ERRORS: dict[int, type[Exception]] = {1: ValueError, 2: ValueError, 3: ValueError, 4: MemoryError}


def function(name: str, *arguments: Any) -> Callable[..., int]:
    """A function that returns a status, for `check`. The interpreter's lock is released while it
    runs."""
    found: Any = getattr(_library, name)
    found.argtypes, found.restype = arguments, ctypes.c_int32
    return found  # type: ignore[no-any-return]


def table(rows: Any, count: Any) -> Any:
    """The table of operators, as a pointer to rows of the given type."""
    _library.osc_operators.argtypes, _library.osc_operators.restype = [ctypes.c_void_p], rows
    return _library.osc_operators(count)


def companion(name: str) -> pathlib.Path:
    """The path of another library of the package. ImportError if this build lacks it."""
    if not (_FOLDER / name).exists():
        raise ImportError(
            f"this build of osc has no {name}; the wheel has it, and so has a build of the sources "
            "with its option on (python/CMakeLists.txt)"
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
    """The text of an error that begins with the name of an argument, ``"slots has ..."``."""
    name = re.match(r"\w*", text)[0]  # type: ignore[index]
    return names.get(name, name) + text[len(name) :]


_best_worst = function(
    "osc_matching_contrastive_loss_best_worst",
    *(ctypes.c_int64, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p),
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
    sizes = _options.integer("B", B), _options.integer("S", S)
    if min(sizes) < 1:
        raise ValueError(f"B = {B} and S = {S}; wanted sizes of at least 1")
    temperature = _options.positive("temperature", temperature)
    check(_best_worst(*sizes, temperature, ctypes.byref(best), ctypes.byref(worst)))
    return best.value, worst.value
