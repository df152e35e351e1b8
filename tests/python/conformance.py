"""The table of the conformance suite: every loss, and every door by which it is called. A new loss
is a row of CASES."""

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest

REDUCTIONS = ("none", "mean", "sum")
FLOATS = ("float64", "float32", "float16", "bfloat16")
# Relative errors of results, by the dtype of the inputs. 16 bits are computed in float32.
TOLERANCES = {"float64": 1e-13, "float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}


def dtype_of(name):
    return pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else np.dtype(name)


def gaussian(*shape, seed=0):
    """Numbers that every dtype has, so that all doors get the same."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return (x.view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    function: str
    module: str  # of PyTorch's door
    operator: str
    inputs: tuple[str, ...]  # the last of which is differentiated
    wanted: tuple[str, ...]  # their shapes, as errors state them
    shapes: tuple[Any, ...]  # of the inputs, several times; the first is that of most tests
    empty: tuple[Any, ...]
    specification: Callable[..., Any]  # of oracle.py
    options: tuple[tuple[str, Any], ...] = ()
    result: int = 0  # which of the results is the loss
    has_second: bool = False  # whether the next one is the second result of the specification
    reductions: tuple[str, ...] = REDUCTIONS
    skips_nan: bool = False

    def __str__(self):
        return self.name

    @property
    def takes_reduction(self):
        return self.reductions != ("none",)

    def arrays(self, number=0, dtype="float64", seed=0):
        shapes = self.shapes[number]
        return [gaussian(*x, seed=i + seed).astype(dtype_of(dtype)) for i, x in enumerate(shapes)]

    def losses(self, arrays, **options):
        """All losses, and the second result."""
        losses, second = self.specification(*arrays, **dict(self.options), **options)
        return (
            losses[self.result] if self.operator == "variance_covariance_loss" else losses
        ), second

    def want(self, arrays, reduction, grad_output=1.0, **options):
        """The loss, the second result and the gradient, which is NaN for a non-finite image."""
        contents = tuple((x.shape, np.float64(x).tobytes()) for x in arrays)
        losses, second, derivatives = self._evaluated(contents, tuple(options.items()))
        weights = np.broadcast_to(np.float64(grad_output), losses.shape)
        is_number = ~np.isnan(losses)
        if reduction == "mean":
            weights = weights / max(is_number.sum() if self.skips_nan else losses.size, 1)
        gradient = np.tensordot(weights[is_number], derivatives[is_number], 1)
        value = oracle.reduced(losses, reduction, self.skips_nan)
        bad = self.nonfinite_rows(arrays)
        gradient[bad] = np.nan
        return np.nan if bad and reduction != "none" else value, second, gradient

    @functools.cache  # noqa: B019
    def _evaluated(self, contents, options):
        *constants, last = (np.frombuffer(x, np.float64).reshape(shape) for shape, x in contents)
        losses, second = self.losses([*constants, last], **dict(options))
        of_last = lambda last: self.losses([*constants, last], **dict(options))[0]  # noqa: E731
        return losses, second, oracle.jacobian(of_last, last)

    def nonfinite_rows(self, arrays):
        """The rows of the images that hold a NaN or an infinity in any of the arrays."""
        rows = len(arrays[0])
        images = rows // 2 if self.wanted[0].startswith("[2B") else rows
        bad = {i % images for x in arrays for i in range(rows) if not np.isfinite(x[i]).all()}
        return [i for i in range(rows) if i % images in bad]


def _slots(sizes):
    return tuple(((2 * b, s, c),) for b, s, c in sizes)


def _features(shapes):
    return tuple(tuple((x[0], x[2]) for x in inputs) for inputs in shapes)


def _twice(shapes):
    return tuple((x, x) for (x,) in shapes)


def _of_features(specification):
    return lambda *arrays, **options: specification(*(x[:, None] for x in arrays), **options)


def _crops(sizes):
    return tuple(((b, al, n, c), (b, a, s, c)) for b, al, n, a, s, c in sizes)


_SHAPES = _slots([(3, 4, 5), (1, 1, 1), (2, 7, 17)])
_EMPTY = _slots([(0, 3, 4), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
_VIEWS = "[2B, S, C]"
CASES = [
    Case("similarity", "matching_similarity_loss_per_img", "loss_objects",
         "matching_similarity_loss_per_img", ("f", "p"), (_VIEWS, _VIEWS), _twice(_SHAPES),
         _twice(_EMPTY), oracle.similarity),
    Case("contrastive", "matching_contrastive_loss", "loss_objects", "matching_contrastive_loss",
         ("slots",), (_VIEWS,), _SHAPES, _EMPTY, oracle.contrastive, (("temperature", 0.3),)),
    Case("contrastive, image", "matching_contrastive_loss_per_img", "loss_objects",
         "matching_contrastive_loss", ("slots",), (_VIEWS,), _SHAPES, _EMPTY,
         functools.partial(oracle.contrastive, within_images=True), (("temperature", 0.1),)),
    Case("SimSiam", "cosine_sim_loss", "loss_global", "matching_similarity_loss_per_img",
         ("feats", "projs"), ("[2B, C]", "[2B, C]"), _features(_twice(_SHAPES)),
         _features(_twice(_EMPTY[:1] + _EMPTY[2:3])), _of_features(oracle.similarity)),
    Case("SimCLR", "contrastive_loss", "loss_global", "matching_contrastive_loss", ("projs",),
         ("[2B, C]",), _features(_SHAPES), _features(_EMPTY[:1] + _EMPTY[2:3]),
         _of_features(oracle.contrastive), (("temperature", 0.5),), has_second=True),
    Case("small to large", "matching_similarity_loss_small_to_large", "loss_objects",
         "matching_similarity_loss_small_to_large", ("f_large", "p_small"),
         ("[B, Al, L, C]", "[B, As, S, C]"),
         _crops([(3, 2, 5, 4, 3, 6), (1, 1, 1, 1, 1, 1), (2, 3, 4, 2, 9, 17)]),
         _crops([(0, 2, 3, 2, 3, 4), (2, 0, 3, 2, 3, 4), (2, 2, 0, 2, 3, 4), (2, 2, 3, 0, 3, 4),
                 (2, 2, 3, 2, 0, 4), (2, 2, 3, 2, 3, 0)]),
         oracle.small_to_large, has_second=True, skips_nan=True),
    *(Case(name, "variance_covariance_loss", "loss_global", "variance_covariance_loss", ("x",),
           ("[..., N, D]",), (((3, 6, 4),), ((6, 4),), ((2, 2, 7, 17),)), (),
           oracle.variance_covariance, result=i, reductions=("none",))
      for i, name in enumerate(("variance", "covariance"))),
]  # fmt: skip
BY_NAME = {case.name: case for case in CASES}
ONE_OF_EACH_OPERATOR = list({case.operator: case for case in reversed(CASES)}.values())[::-1]
OF_IMAGES = [case for case in CASES if case.takes_reduction]


# Doors.


@dataclasses.dataclass
class Results:
    loss: Any  # NumPy arrays
    second: Any
    gradient: Any


class NumPy:
    has_layouts = has_policies = is_library = True
    takes_grad_output = False

    def function(self, case):
        return getattr(importlib.import_module("osc.numpy"), case.function)

    def __call__(self, case, arrays, reductions=("none",), **options):
        """The results for each reduction."""
        for reduction in reductions:
            if case.takes_reduction:
                options["reduction"] = reduction
            got = self.function(case)(*arrays, with_grad=True, **dict(case.options), **options)
            gradient = got[2 + case.result if not case.takes_reduction else -1]
            second = got[1] if case.has_second else None
            yield Results(got[case.result], second, gradient)


class PyTorch:
    has_layouts = has_policies = takes_grad_output = True

    def __init__(self, path="kernels"):
        self.is_library = path in ("kernels", "compiled")
        self.path, self.programs = path, {}

    def function(self, case):
        return getattr(importlib.import_module("osc." + case.module), case.function)

    @contextlib.contextmanager
    def switched_on(self):
        from osc import _torch
        from osc._reference import contrastive

        if self.is_library:
            yield
            return
        block, contrastive.BLOCK = contrastive.BLOCK, 40  # of 24 slots several blocks
        with _torch.on_cpu_tensors():
            yield
        contrastive.BLOCK = block

    def __call__(self, case, arrays, reductions=("none",), grad_output=None, **options):
        import torch

        tensors = [x if isinstance(x, torch.Tensor) else as_tensor(x) for x in arrays]
        tensors[-1] = tensors[-1].detach().requires_grad_()
        program = self._program(case, tensors[0].dtype, reductions, options)
        for i in range(len(reductions)):
            results = program(*tensors)[i]
            loss = results[case.result] if isinstance(results, tuple) else results
            grad = torch.ones_like(loss) if grad_output is None else grad_output
            (gradient,) = torch.autograd.grad(loss, tensors[-1], grad)
            second = results[1] if case.has_second else None
            yield Results(*map(as_array, (loss, second, gradient)))

    def _program(self, case, dtype, reductions, options):
        import torch

        function, options = self.function(case), {**dict(case.options), **options}

        def program(*tensors):
            if not case.takes_reduction:
                return [function(*tensors, **options)]
            return [function(*tensors, reduction=x, **options) for x in reductions]

        if self.path != "compiled":
            return program
        key = case.name, dtype, reductions, tuple(options.items())
        if key not in self.programs:
            torch._dynamo.reset()
            self.programs[key] = torch.compile(
                program, fullgraph=True, dynamic=True, backend="aot_eager"
            )
        return self.programs[key]


class Jax:
    has_layouts = has_policies = False
    takes_grad_output = True

    def __init__(self, path="library"):
        self.is_library = path == "library"

    def function(self, case):
        return getattr(importlib.import_module("osc.jax"), case.function)

    @contextlib.contextmanager
    def switched_on(self):
        import jax

        from osc import _jax
        from osc._reference_jax import contrastive

        before = jax.config.jax_enable_x64, contrastive.BLOCK, _jax.FORMULAS_EVERYWHERE
        jax.config.update("jax_enable_x64", True)
        contrastive.BLOCK, _jax.FORMULAS_EVERYWHERE = 60, not self.is_library
        jax.clear_caches()  # drop programs that were traced for the other setting
        yield
        jax.config.update("jax_enable_x64", before[0])
        contrastive.BLOCK, _jax.FORMULAS_EVERYWHERE = before[1:]
        jax.clear_caches()

    def __call__(self, case, arrays, reductions=("none",), grad_output=None, **options):
        import jax
        import jax.numpy as jnp

        *constants, last = map(jnp.asarray, arrays)

        @jax.jit  # one program for all reductions
        def program(constants, last):
            programs = []
            for reduction in reductions:
                reduces = {"reduction": reduction} if case.takes_reduction else {}
                options_of_case = {**dict(case.options), **reduces, **options}

                def loss_and_second(last, options_of_case=options_of_case):
                    got = self.function(case)(*constants, last, **options_of_case)
                    loss = got[case.result] if isinstance(got, tuple) else got
                    return loss, got[1] if case.has_second else None

                loss, pull_back, second = jax.vjp(loss_and_second, last, has_aux=True)
                grad = jnp.ones_like(loss) if grad_output is None else jnp.asarray(grad_output)
                programs.append((loss, second, pull_back(grad)[0]))
            return programs

        for loss, second, gradient in program(constants, last):
            second = None if second is None else np.asarray(second)
            yield Results(np.asarray(loss), second, np.asarray(gradient))


def as_tensor(array):
    """A tensor that shares the memory of the array."""
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_array(tensor):
    import torch

    if tensor is None:
        return None
    tensor = tensor.detach().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(dtype_of("bfloat16"))
    return tensor.numpy()


DOORS = {
    "numpy": NumPy,
    "pytorch": PyTorch,
    "pytorch, device path": lambda: PyTorch("device path"),
    "pytorch, compiled": lambda: PyTorch("compiled"),
    "jax": Jax,
    "jax, formulas": lambda: Jax("formulas"),
}
