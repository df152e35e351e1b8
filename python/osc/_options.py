"""The types of options. A ``str`` will do where a name comes from a configuration; an unknown one
is a ValueError when it is used."""

from __future__ import annotations

from typing import Literal, TypeAlias

Reduction: TypeAlias = Literal["mean", "sum", "none"] | str
OnNonFinite: TypeAlias = Literal["propagate", "raise"]
OnUnsolvable: TypeAlias = Literal["raise", "unmatched"]
