from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from . import _numpy
from ._arrays import ArrayLike
from ._documentation import documented
from ._operators import TABLE, Operator
from ._options import OnNonFinite, OnUnsolvable

if TYPE_CHECKING:
    import torch

__all__ = ["linear_sum_assignment", "match_slots"]


@overload
def linear_sum_assignment(
    cost: torch.Tensor, maximize: bool = False, *, on_unsolvable: OnUnsolvable = "raise"
) -> tuple[torch.Tensor, torch.Tensor]: ...
@overload
def linear_sum_assignment(
    cost: ArrayLike,
    maximize: bool = False,
    *,
    on_unsolvable: OnUnsolvable = "raise",
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]: ...
@documented("linear_sum_assignment")
def linear_sum_assignment(
    cost: ArrayLike | torch.Tensor,
    maximize: bool = False,
    *,
    on_unsolvable: OnUnsolvable = "raise",
) -> tuple[Any, Any]:
    """Solve a batch of linear sum assignment problems exactly.

    Parameters
    ----------
    cost : array_like or PyTorch tensor, shape [..., R, K]
        Costs of pairing each of R rows with each of K columns. float64, float32, float16 and
        bfloat16 arrays, and tensors that speak DLPack, are read in place, whatever their strides;
        other real numbers, integers, booleans and lists become float64. A PyTorch tensor of another
        device is copied to the CPU and solved there. ``+inf`` forbids a pair (``-inf`` where one
        maximises). Columns that are only there to fill the batch up should cost some large finite
        number: ``inf`` forbids them to every row, and then no full assignment is left.
    {options}

    Returns
    -------
    col4row : int64 array, or tensor on the device of `cost`, shape [..., R]
        The column that each row is assigned to, -1 for none.
    row4col : the same, shape [..., K]
        The row that each column is assigned to, -1 for none.

    Raises
    ------
    TypeError
        Where the costs are not real numbers, `maximize` is not a boolean, or an array that is not a
        PyTorch tensor is in the memory of an accelerator.
    ValueError
        Where there are fewer than two dimensions, or integers beyond ±2^53, which float64 would
        round (SciPy rounds them); or, with ``"raise"``, naming the index in the flattened batch of
        the first problem without an answer.

    Notes
    -----
    Of several optimal assignments, it returns the one that ``scipy.optimize.linear_sum_assignment``
    returns. At worst O(min(R, K)² max(R, K)) per problem; the problems run in parallel on the cores
    that this process may use (those of a tensor on PyTorch's threads), with the interpreter's lock
    released. Source of the method: D. F. Crouse, "On implementing 2D rectangular assignment
    algorithms", IEEE Transactions on Aerospace and Electronic Systems 52(4), 2016.

    Examples
    --------
    >>> import osc
    >>> col4row, row4col = osc.linear_sum_assignment([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
    >>> col4row
    array([1, 0, 2])
    """
    options = {"maximize": maximize, "on_unsolvable": on_unsolvable}
    return _call(TABLE["linear_sum_assignment"], {"cost": cost}, ("col4row", "row4col"), options)  # type: ignore[no-any-return]


@overload
def match_slots(
    f: torch.Tensor, *, eps: float = 1e-10, on_nonfinite: OnNonFinite = "propagate"
) -> torch.Tensor: ...
@overload
def match_slots(
    f: ArrayLike, *, eps: float = 1e-10, on_nonfinite: OnNonFinite = "propagate"
) -> npt.NDArray[np.int64]: ...
@documented("match_slots")
def match_slots(
    f: ArrayLike | torch.Tensor,
    *,
    eps: float = 1e-10,
    on_nonfinite: OnNonFinite = "propagate",
) -> Any:
    """Match the slots of two views of each image, so that the sum of their cosines is greatest.

    Parameters
    ----------
    f : array_like or PyTorch tensor, shape [2B, S, C]
        Slots, an array or anything that speaks DLPack, of float64, float32, float16 or bfloat16
        (the last two matched in float32). Rows ``i`` and ``i + B`` are the two views of image
        ``i``.
    {options}

    Returns
    -------
    int64 array, or tensor on the device of `f`, shape [B, S]
        Slot ``s`` of view 0 of image ``i`` is matched to slot ``result[i, s]`` of view 1.

    {raises}

    Notes
    -----
    Exact; ties fall as in `linear_sum_assignment`. O(S² C + S³) per image, in parallel over images.
    No copy where the channels are contiguous.

    {paper}

    Examples
    --------
    >>> import numpy, osc
    >>> view = numpy.eye(3)
    >>> osc.match_slots([view, view[[2, 0, 1]]])
    array([[1, 2, 0]])
    """
    options = {"eps": eps, "on_nonfinite": on_nonfinite}
    return _call(TABLE["match_slots"], {"f": f}, ("matching",), options)


_on_tensors: Any = None  # _torch.call, once there is a tensor; an import takes as long as a check


def _call(op: Operator, arrays: dict[str, Any], wanted: tuple[str, ...], options: Any) -> Any:
    (array,) = arrays.values()
    if type(array) is not np.ndarray:
        # If PyTorch has not been imported, no argument is a tensor.
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(array, torch.Tensor):
            global _on_tensors
            if _on_tensors is None:
                from . import _torch

                _on_tensors = _torch.call
            return _on_tensors(op, arrays, **options)
    return _numpy.call(op, arrays, wanted, **options)
