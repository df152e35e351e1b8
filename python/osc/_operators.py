"""The table of operators, as the library has it (osc/osc.h, src/operators.cpp): what each takes and
gives. The schemas, shapes and checks of every door come from it."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib
import pkgutil
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any

from . import _library

INPUT, GIVEN, LOSS, OUTPUT, STATUS, GRAD_OUTPUT, GRADIENT = range(7)
BOOLEAN, ENUMERATION, INT64, DOUBLE = range(4)
FLOATS = ("float64", "float32", "float16", "bfloat16")
DTYPES = ("", *FLOATS, "int64", "int32")  # by the numbers of osc.h

_SIZE_OF_ARRAY = 3 * ctypes.sizeof(ctypes.c_void_p) + 2 * ctypes.sizeof(ctypes.c_int32)
_VIEWS = ", in which rows i and i + B are the views of image i"
_MENDS = "x.swapaxes(0, 1).reshape(-1, *x.shape[2:])"


@dataclasses.dataclass(frozen=True)
class Dimension:
    """The product of a number and letters, "2BS"; or "G...", any number of leading dimensions."""

    text: str
    factor: int
    letters: tuple[str, ...]
    is_leading: bool


@dataclasses.dataclass(frozen=True)
class Array:
    name: str
    shape: tuple[Dimension, ...]
    role: int
    dtype: str  # "": that of the inputs
    help: str

    @property
    def wanted(self) -> str:
        """``[2B, S, C]``"""
        return "[" + ", ".join("..." if d.is_leading else d.text for d in self.shape) + "]"

    @property
    def is_grouped(self) -> bool:
        """Whether it has any number of leading dimensions, which are one in C."""
        return bool(self.shape) and self.shape[0].is_leading

    @property
    def has_adjacent_channels(self) -> bool:
        """Whether the last dimension must be adjacent in memory: channels C or features D."""
        return bool(self.shape) and self.shape[-1].text in ("C", "D")

    @property
    def residual(self) -> str:
        """The name of the output that a given array replaces."""
        return self.name.removeprefix("given_")


@dataclasses.dataclass(frozen=True)
class Option:
    name: str
    kind: int
    offset: int
    default: float
    values: tuple[str, ...]  # of an enumeration
    help: str

    @property
    def is_policy(self) -> bool:
        """Whether the option says how to treat bad input. The backward pass does not take it."""
        return self.name.startswith("on_")


@dataclasses.dataclass(eq=False)  # hashed by identity: it is a key of caches
class Operator:
    name: str
    run: Any  # the function in C, of a pointer to the struct of a call
    struct_size: int
    arrays: tuple[Array, ...]
    options: tuple[Option, ...]
    workspace_offset: int
    differentiated: str | None
    takes_features: bool = False  # [2B, C], which are slots of one each

    def __post_init__(self) -> None:
        # Not cached properties: torch.compile does not know their locks.
        self.inputs, self.given = self.of_role(INPUT), self.of_role(GIVEN)
        self.losses, self.outputs = self.of_role(LOSS), self.of_role(OUTPUT)
        # The given arrays of a forward pass: a matching. Other residuals serve a backward pass.
        is_accepted = [x.dtype == "int64" and self.differentiated is not None for x in self.given]
        self.accepted = tuple(x for x, accepts in zip(self.given, is_accepted) if accepts)
        self.nothing_given = (None,) * len(self.accepted)
        self.accepts_integers = self.inputs[0].name == "cost"  # integers become float64
        self.backward_options = tuple(x for x in self.options if not x.is_policy)

    def of_role(self, *roles: int) -> tuple[Array, ...]:
        return tuple(array for array in self.arrays if array.role in roles)

    def array(self, name: str) -> Array:
        return next(array for array in self.arrays if array.name == name)

    def option(self, name: str) -> Option:
        return next(option for option in self.options if option.name == name)

    def offset(self, array: Array) -> int:
        """The offset of an array in the struct of a call."""
        place = next(i for i, x in enumerate(self.arrays) if x is array)
        return ctypes.sizeof(ctypes.c_size_t) + place * _SIZE_OF_ARRAY

    @functools.cached_property
    def of_features(self) -> Operator:
        """The same operator on features of whole images ``[2B, C]``."""
        arrays = tuple(dataclasses.replace(x, shape=_without_slots(x.shape)) for x in self.arrays)
        return dataclasses.replace(self, arrays=arrays, takes_features=True)

    def named(self, codes: Sequence[Any]) -> types.SimpleNamespace:
        """Options by their names, enumerations as names, too."""
        values = (x.values[code] if x.values else code for x, code in zip(self.options, codes))
        return types.SimpleNamespace(**dict(zip((x.name for x in self.options), values)))

    def sizes(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """The size of each letter, from the shapes of the inputs; ValueError where they do not fit.
        That of "G..." is a tuple."""
        sizes: dict[str, Any] = {}
        for array in self.inputs:
            given = tuple(shapes[array.name])
            known = dict(sizes)
            if not _bind(array.shape, given, sizes):
                raise ValueError(_refused(array, given, known))
        return sizes

    def sizes_of_arguments(
        self, shapes: Mapping[str, Sequence[int]], mends: str = _MENDS
    ) -> dict[str, Any]:
        """As `sizes`, of inputs by what the caller calls them. ``mends``: what makes views of x
        ``[B, 2, ...]``, for the error."""
        names = dict(zip((x.name for x in self.inputs), shapes))
        try:
            return self.sizes(dict(zip(names, shapes.values())))
        except ValueError as error:
            text, dims = _library.renamed(str(error), names), len(self.inputs[0].shape)
            if _VIEWS in text and any(len(x) == dims + 1 and x[1] == 2 for x in shapes.values()):
                text += f"; x [B, 2, ...] becomes that by {mends}"
            raise ValueError(text) from None

    def shape(self, array: Array, sizes: Mapping[str, Any], reduces: bool) -> tuple[Any, ...]:
        """The shape of an array, for these sizes of the letters."""
        shape: list[Any] = []
        for dimension in self.reduced(array, reduces):
            if dimension.is_leading:
                shape.extend(sizes[dimension.letters[0]])
                continue
            size = dimension.factor
            for letter in dimension.letters:
                size = size * sizes[letter]
            shape.append(size)
        return tuple(shape)

    def reduced(self, array: Array, reduces: bool) -> tuple[Dimension, ...]:
        """The dimensions that are left if the losses are reduced."""
        if not reduces or array.role not in (LOSS, GRAD_OUTPUT):
            return array.shape
        if array.role == LOSS:
            return ()
        place = self.of_role(GRAD_OUTPUT).index(array)
        return array.shape[: len(array.shape) - len(self.losses[place].shape)]


def _bind(shape: tuple[Dimension, ...], given: tuple[Any, ...], sizes: dict[str, Any]) -> bool:
    leading = len(given) - len(shape) + 1 if shape[0].is_leading else 0
    if leading < 0 or (not shape[0].is_leading and len(given) != len(shape)):
        return False
    if shape[0].is_leading:
        sizes[shape[0].letters[0]] = given[:leading]
        shape, given = shape[1:], given[leading:]
    for dimension, size in zip(shape, given):
        letter = dimension.letters[0]
        if dimension.factor > 1 and size % dimension.factor != 0:
            return False
        if sizes.setdefault(letter, size // dimension.factor) * dimension.factor != size:
            return False
    return True


def _refused(array: Array, given: Sequence[int], sizes: Mapping[str, Any]) -> str:
    """The text of an error. ``sizes`` are those of the letters that earlier inputs have bound."""
    wanted = array.wanted
    if sizes:
        known = (
            str(d.factor * sizes[d.letters[0]])
            if not d.is_leading and all(x in sizes for x in d.letters)
            else "..."
            if d.is_leading
            else d.text
            for d in array.shape
        )
        wanted += f" = [{', '.join(known)}]"
    views = _VIEWS if any(d.text == "2B" for d in array.shape) else ""
    return f"{array.name} has shape {list(given)}; wanted {wanted}{views}"


def check_dtypes(dtypes: Mapping[str, str]) -> None:
    """TypeError unless the inputs, keyed by the caller's names, have one floating-point dtype."""
    first, wanted = next(iter(dtypes.items()))
    for name, dtype in dtypes.items():
        if dtype not in FLOATS:
            raise TypeError(f"{name} is {dtype}; wanted float64, float32, float16 or bfloat16")
        if dtype != wanted:
            raise TypeError(f"{first} is {wanted} and {name} is {dtype}; wanted the same dtype")


def _without_slots(shape: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    return tuple(
        dataclasses.replace(x, text=x.text.replace("S", ""), letters=x.letters[:1])
        for x in shape
        if x.letters != ("S",)
    )


def references(package: types.ModuleType) -> dict[str, Any]:
    """The plain formulas of the operators: of a package, each module or class with an OPERATOR."""
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        for formulas in (module, *vars(module).values()):
            if isinstance(formulas, type | types.ModuleType) and hasattr(formulas, "OPERATOR"):
                found[formulas.OPERATOR] = formulas
    return found


class _ArrayDescription(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("shape", ctypes.c_char_p),
        ("role", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
        ("help", ctypes.c_char_p),
    ]


class _OptionDescription(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int32),
        ("offset", ctypes.c_int32),
        ("default_value", ctypes.c_double),
        ("values", ctypes.c_char_p),
        ("help", ctypes.c_char_p),
    ]


class _OperatorDescription(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("run", ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)),
        ("struct_size", ctypes.c_size_t),
        ("arrays", ctypes.POINTER(_ArrayDescription)),
        ("array_count", ctypes.c_int32),
        ("options", ctypes.POINTER(_OptionDescription)),
        ("option_count", ctypes.c_int32),
        ("executor_offset", ctypes.c_int32),
        ("workspace_offset", ctypes.c_int32),
        ("differentiated", ctypes.c_char_p),
    ]


def _shape(text: str) -> tuple[Dimension, ...]:
    return tuple(
        Dimension(
            word,
            int(re.match(r"\d*", word)[0] or 1),  # type: ignore[index]
            tuple(re.findall("[A-Z][a-z]*", word)),
            word.endswith("..."),
        )
        for word in text.split()
    )


def _operator(row: Any) -> Operator:
    arrays = tuple(
        Array(x.name.decode(), _shape(x.shape.decode()), x.role, DTYPES[x.dtype], x.help.decode())
        for x in row.arrays[: row.array_count]
    )
    options = tuple(
        Option(
            x.name.decode(),
            x.kind,
            x.offset,
            x.default_value,
            tuple((x.values or b"").decode().split()),
            x.help.decode(),
        )
        for x in row.options[: row.option_count]
    )
    name = row.name.decode()
    run = _library.function("osc_" + name, ctypes.c_void_p)
    differentiated = row.differentiated.decode() if row.differentiated else None
    return Operator(
        name, run, row.struct_size, arrays, options, row.workspace_offset, differentiated
    )


def _table() -> dict[str, Operator]:
    count = ctypes.c_int32()
    rows = _library.table(ctypes.POINTER(_OperatorDescription), ctypes.byref(count))
    return {x.name: x for x in map(_operator, rows[: count.value])}


TABLE = _table()
