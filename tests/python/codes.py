"""The numbers by which the operators of PyTorch and the C functions take options (osc/osc.h)."""

MEAN, SUM, NONE = range(3)
REDUCTIONS = {"mean": MEAN, "sum": SUM, "none": NONE}
PROPAGATE, RAISE = range(2)  # on_nonfinite
RAISE_UNSOLVABLE, UNMATCHED = range(2)  # on_unsolvable
