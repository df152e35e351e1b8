"""The shared library: its functions (include/osc/osc.h), and its errors as Python's."""

from __future__ import annotations

import ctypes
import math
import numbers
import pathlib
from collections.abc import Callable
from typing import Any

_FOLDER = pathlib.Path(__file__).parent
_library = ctypes.CDLL(str(_FOLDER / "libosc.so"))

_INT32, _INT64, _DOUBLE, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_SIGNATURES = {
    "osc_matching_similarity_loss_per_img": [_INT32] + [_POINTER] * 5 + [_INT32, _DOUBLE, _INT32] + [_POINTER] * 8,
    "osc_matching_contrastive_loss": [_INT32] + [_POINTER] * 3 + [_INT32, _DOUBLE, _INT32, _DOUBLE, _INT32] + [_POINTER] * 11,
    "osc_matching_contrastive_loss_best_worst": [_INT64, _INT64, _DOUBLE] + [_POINTER] * 2,
    "osc_matching_similarity_loss_small_to_large": [_INT32] + [_POINTER] * 5 + [_INT32, _DOUBLE, _INT32] + [_POINTER] * 9,
    "osc_variance_covariance_loss": [_INT32] + [_POINTER] * 3 + [_INT32] + [_POINTER] * 8,
    "osc_match_slots": [_INT32] + [_POINTER] * 3 + [_DOUBLE, _INT32] + [_POINTER] * 4,
    "osc_linear_sum_assignment": [_INT32] + [_POINTER] * 3 + [_INT32, _INT32] + [_POINTER] * 5,
}
for _name, _arguments in _SIGNATURES.items():
    if not hasattr(_library, _name): continue
    _function = getattr(_library, _name)
    _function.argtypes = _arguments
    _function.restype = _INT32
# They return a status, for `check`. The interpreter's lock is released meanwhile.
similarity_loss: Callable[..., int] = _library.osc_matching_similarity_loss_per_img
contrastive_loss: Callable[..., int] = _library.osc_matching_contrastive_loss
# small_to_large_loss: Callable[..., int] = _library.osc_matching_similarity_loss_small_to_large
# variance_covariance_loss: Callable[..., int] = _library.osc_variance_covariance_loss
match_slots: Callable[..., int] = _library.osc_match_slots
linear_sum_assignment: Callable[..., int] = _library.osc_linear_sum_assignment
_library.osc_version.restype = ctypes.c_char_p
_library.osc_last_error.restype = ctypes.c_char_p
_library.osc_instruction_set.restype = ctypes.c_char_p
_library.osc_set_instruction_set.argtypes = [ctypes.c_char_p]

_ERRORS: dict[int, type[Exception]] = {1: ValueError, 2: ValueError, 3: ValueError, 4: MemoryError}
_POLICIES = {"propagate": 0, "unmatched": 0, "raise": 1}
_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def companion(name: str) -> pathlib.Path:
    """Where another library of the package is, which a build may lack."""
    if not (_FOLDER / name).exists():
        raise ImportError(f"this build of osc has no {name}; the wheel has it, and so has a build of the sources with its option on (python/CMakeLists.txt)")
    return _FOLDER / name


def version() -> str:
    text: bytes = _library.osc_version()
    return text.decode()


def instruction_set() -> str:
    """The instruction set whose kernels run: the widest of this processor's, unless OSC_INSTRUCTION_SET or `set_instruction_set` says another."""
    text: bytes = _library.osc_instruction_set()
    return text.decode()


def set_instruction_set(name: str) -> None:
    """Force the kernels of ``"avx512"``, ``"avx2"``, ``"x86-64"``, ``"neon"`` or ``"generic"``; ``""`` is the widest again. ValueError for one that this processor lacks."""
    if not isinstance(name, str) or "\0" in name:
        raise ValueError(f"the instruction set is {name!r}; wanted one of the names above")
    check(_library.osc_set_instruction_set(name.encode()))


def check(status: int) -> None:
    """Raises what a function of the library reported."""
    if status != 0:
        raise _ERRORS.get(status, RuntimeError)(_library.osc_last_error().decode())


def policy(name: str, value: str, benign: str) -> int:
    if not isinstance(value, str) or value not in (benign, "raise"):
        raise ValueError(f'{name} is {value!r}; wanted "{benign}" or "raise"')
    return _POLICIES[value]


def reduction(value: str) -> int:
    if not isinstance(value, str) or value not in _REDUCTIONS:
        raise ValueError(f'reduction is {value!r}; wanted "none", "mean" or "sum"')
    return _REDUCTIONS[value]


def positive(name: str, value: Any) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}; wanted a number")
    number = float(value)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} is {value}; wanted a positive, finite number")
    return number


def best_worst(images: int, slots: int, temperature: float) -> tuple[float, float]:
    """The contrastive loss of matched slots that are equal and orthogonal to all others, and of slots that are all equal; `osc.loss_objects` says more."""
    best, worst = ctypes.c_double(), ctypes.c_double()
    for name, size in (("B", images), ("S", slots)):
        if not isinstance(size, numbers.Integral):
            raise TypeError(f"{name} is {type(size).__name__}; wanted an integer")
    check(_library.osc_matching_contrastive_loss_best_worst(int(images), int(slots), positive("temperature", temperature), ctypes.byref(best), ctypes.byref(worst)))
    return best.value, worst.value
