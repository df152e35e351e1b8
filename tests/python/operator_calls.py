"""Calls of PyTorch's operators torch.ops.osc.*, whose arguments follow from the table."""

import torch

import osc  # noqa: F401
from osc import _torch  # noqa: F401
from osc._operators import TABLE, Operator

MEAN, SUM, NONE = range(3)  # reductions, as osc.h numbers them
operators = torch.ops.osc


def calls_of(op: Operator, inputs, **options):
    """The arguments of the forward operator and of those that differentiate it, by name."""
    defaults = {x.name: x.default if x.kind == 3 else int(x.default) for x in op.options}
    codes = {**defaults, **{name: x for name, x in options.items() if name in defaults}}
    forward = (*inputs, *(None for _ in op.accepted), *codes.values())
    if op.differentiated is None:
        return {op.name: forward}
    detached = (x.detach() if isinstance(x, torch.Tensor) else x for x in forward)
    results = getattr(operators, op.name)(*detached)
    named = dict(zip((x.name for x in (*op.losses, *op.outputs)), results))
    ranks = op.name.endswith("gathered")  # residuals and gradients of losses are those of all ranks
    grads = [torch.ones_like(named[x.name]).requires_grad_() for x in op.losses]
    residuals = [named[x.residual] for x in op.given]
    if ranks:
        grads, residuals[1] = [x.detach().unsqueeze(0) for x in grads], residuals[1].unsqueeze(0)
    backward_options = [codes[x.name] for x in op.backward_options]
    backward = (*grads, *inputs, *residuals, *backward_options)
    calls = {op.name: forward, op.name + "_backward": backward}
    return calls if ranks else {**calls, op.name + "_with_gradient": forward}


def schema_of(name):
    [schema] = [x for x in torch._C._jit_get_all_schemas() if x.name == "osc::" + name]
    return schema


def every_call(**options):
    """The arguments of every operator of the table, on small inputs."""
    generator = torch.Generator().manual_seed(0)
    slots, crops = (torch.randn(shape, generator=generator) for shape in ((4, 3, 4), (1, 2, 3, 4)))
    shapes = {"R": slots.unsqueeze(0), "B": crops}  # by the first letter of the shape; else slots
    calls = {}
    for op in TABLE.values():
        inputs = [shapes.get(x.shape[0].text, slots) for x in op.inputs]
        calls |= calls_of(op, inputs, **options)
    return calls
