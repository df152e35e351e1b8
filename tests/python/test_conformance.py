"""Every loss through every door does the same: the specification's numbers in every dtype, layout
and reduction, and the same errors. What is peculiar to a loss or a door is tested in its own file.
"""

import contextlib

import numpy as np
import pytest
from conformance import (
    CASES,
    DOORS,
    FLOATS,
    OF_IMAGES,
    REDUCTIONS,
    TOLERANCES,
    as_tensor,
    dtype_of,
    gaussian,
)

NOT_DEPRECATED = [
    pytest.mark.filterwarnings(f"error::{category}")
    for category in ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
]


def some_of_the_doors(*names):
    marks = {name: NOT_DEPRECATED if "jax" in name else [] for name in names}
    return [pytest.param(name, marks=marks[name]) for name in names]


@pytest.fixture(scope="module", params=some_of_the_doors(*DOORS))
def door(request):
    pytest.importorskip(
        {"pytorch": "torch"}.get(framework := request.param.split(",")[0], framework)
    )
    door = DOORS[request.param]()
    with getattr(door, "switched_on", contextlib.nullcontext)():
        yield door


every_loss = pytest.mark.parametrize("case", CASES, ids=str)
every_loss_of_images = pytest.mark.parametrize("case", OF_IMAGES, ids=str)


def doors(*names):
    return pytest.mark.parametrize("door", some_of_the_doors(*names), indirect=True, scope="module")


with_layouts = doors("numpy", "pytorch", "pytorch, device path")
not_compiled = doors(*(name for name in DOORS if name != "pytorch, compiled"))
traced = doors("pytorch, compiled", "jax", "jax, formulas")


def assert_close(got, want, dtype="float64", scale=1.0):
    tolerance = TOLERANCES[dtype]
    np.testing.assert_allclose(
        np.float64(got), want, rtol=30 * tolerance, atol=tolerance * np.float64(scale)
    )


def scale_of(case, arrays):
    """The magnitude of the terms whose difference is the gradient."""
    last = np.float64(arrays[-1])
    norms = np.linalg.norm(last, axis=-1)
    temperature = dict(case.options).get("temperature", 1)
    return 10 / temperature / (norms.min() if case.takes_reduction else 1)


@every_loss
@pytest.mark.parametrize("dtype", FLOATS)
def test_equals_the_specification(case, dtype, door):
    is_compiled = getattr(door, "path", "") == "compiled"
    if is_compiled and dtype not in ("float64", "bfloat16"):
        pytest.skip("compiled as the others are")
    numbers = range(len(case.shapes))
    if not door.has_layouts or is_compiled:  # each shape is compiled
        numbers = (0, 2) if dtype == "float64" else (0,)
    for number in numbers:
        arrays = case.arrays(number, dtype)
        results = door(case, arrays, case.reductions)
        for reduction, got in zip(case.reductions, results, strict=True):
            want, want_second, want_gradient = case.want(arrays, reduction)
            assert got.loss.dtype == got.gradient.dtype == dtype_of(dtype)
            assert np.shape(got.loss) == np.shape(want) and got.gradient.shape == arrays[-1].shape
            scale = scale_of(case, arrays) * (np.size(want_gradient) if reduction == "sum" else 1)
            assert_close(got.loss, want, dtype, scale)
            assert_close(got.gradient, want_gradient, dtype, scale)
            if case.has_second:
                assert np.float32(got.second) == pytest.approx(want_second, rel=1e-6)
                assert getattr(got.second, "dtype", "float32") == "float32"


@every_loss
def test_doors_that_call_the_library_give_the_same_bits(case):
    torch = pytest.importorskip("torch")
    shapes = case.shapes[2]
    arrays = [
        gaussian(*((60 if i == 0 else x) for i, x in enumerate(shape)), seed=seed)
        for seed, shape in enumerate(shapes)
    ]
    arrays = [x.astype(np.float32) for x in arrays]
    want = list(DOORS["numpy"]()(case, arrays, case.reductions))

    def check(door):
        for got, expected in zip(door(case, arrays, case.reductions), want, strict=True):
            np.testing.assert_array_equal(got.loss, expected.loss)
            np.testing.assert_array_equal(got.gradient, expected.gradient)
            assert case.has_second is False or np.float32(expected.second) == got.second

    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            check(DOORS["pytorch"]())
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    with contextlib.suppress(ImportError):
        import jax  # noqa: F401

        door = DOORS["jax"]()
        with door.switched_on():  # the door of a fixture may be open still
            check(door)


LAYOUTS = {
    "first axes exchanged": lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1),
    "every other row": lambda x: np.repeat(x, 2, 0)[::2],
    "every other slot": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "some of the channels": lambda x: np.concatenate([x, x], -1)[..., : x.shape[-1]],
    "channels first": lambda x: np.moveaxis(np.moveaxis(x, -1, 0).copy(), 0, -1),
    "column-major": np.asfortranarray,
    "at an offset": lambda x: np.concatenate([x[:1], x])[1:],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "in a record": lambda x: in_a_record(x),
    "unaligned": lambda x: unaligned(x),
    "negated lazily": lambda x: __import__("torch")._neg_view(-as_tensor(x)),
}  # fmt: skip


def unaligned(x):
    return np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


def in_a_record(x):
    records = np.zeros(x.shape, [("tag", "u1"), ("x", x.dtype)])
    records["x"] = x
    return records["x"]


@every_loss
@pytest.mark.parametrize("layout", LAYOUTS)
@with_layouts
def test_layouts_give_the_same_bits_and_the_gradient_has_that_of_its_array(case, layout, door):
    is_numpy = not hasattr(door, "path")
    if layout in ("reversed", "big-endian", "in a record", "unaligned") and not is_numpy:
        pytest.skip("PyTorch has no such tensors")
    if layout == "negated lazily" and is_numpy:
        pytest.importorskip("torch")
    number = 0 if case.takes_reduction else 2  # groups in two dimensions
    for dtype in FLOATS:
        if dtype == "bfloat16" and layout in ("big-endian", "in a record", "unaligned"):
            continue
        arrays = case.arrays(number, dtype)
        laid_out = [LAYOUTS[layout](x) for x in arrays]
        for x in laid_out if is_numpy and layout != "negated lazily" else ():
            x.flags.writeable = False
        [want], [got] = door(case, arrays), door(case, laid_out)
        if door.is_library and case.takes_reduction:
            np.testing.assert_array_equal(got.loss, want.loss)
            np.testing.assert_array_equal(got.gradient, want.gradient)
        else:
            assert_close(got.loss, np.float64(want.loss), dtype)
            assert_close(got.gradient, np.float64(want.gradient), dtype)
        last = laid_out[-1]
        if layout not in ("negated lazily", "big-endian") and last.strides[-1] == last.itemsize:
            like = np.empty_like(last)
            are_spaced = case.takes_reduction or layout != "first axes exchanged"
            assert got.gradient.strides == (like if are_spaced else like.copy()).strides


@every_loss
@with_layouts
def test_a_broadcast_array_has_the_gradient_of_its_copy(case, door):
    arrays = case.arrays()
    for axes in (1, 2):
        last, strides = arrays[-1], arrays[-1].strides
        if axes == last.ndim:
            continue
        strides = (0,) * axes + strides[axes:]
        broadcast = np.lib.stride_tricks.as_strided(last, last.shape, strides)
        [got] = door(case, [*arrays[:-1], broadcast])
        [want] = door(case, [*arrays[:-1], broadcast.copy()])
        np.testing.assert_allclose(got.loss, want.loss, rtol=1e-14)
        np.testing.assert_allclose(got.gradient, want.gradient, rtol=1e-12, atol=1e-15)


@every_loss_of_images
@doors("pytorch", "pytorch, device path", "jax", "jax, formulas")
def test_grad_output_is_that_of_each_loss(case, door):
    arrays = case.arrays()
    losses, _ = case.losses(arrays)
    weights = [gaussian(*losses.shape, 2, seed=7)[..., 0]]
    if hasattr(door, "path"):  # in any layout
        one = weights[0][(slice(1),) * losses.ndim]
        expanded = np.lib.stride_tricks.as_strided(one, losses.shape, (0,) * losses.ndim)
        weights = list(map(as_tensor, (weights[0], weights[0].copy(), expanded)))
    for grad_output in weights:
        _, _, want = case.want(arrays, "none", np.asarray(grad_output))
        [got] = door(case, arrays, grad_output=grad_output)
        assert_close(got.gradient, want, scale=scale_of(case, arrays))


@every_loss_of_images
@not_compiled
def test_a_non_finite_image_is_nan_and_leaves_the_others_alone(case, door):
    for place, name in enumerate(case.inputs):
        for bad in (np.nan, np.inf, -np.inf):
            arrays = case.arrays()
            [clean], scale = door(case, arrays), scale_of(case, arrays)
            row = 4 if case.wanted[place].startswith("[2B") else 1
            arrays[place][row].flat[1] = bad  # of image 1
            for reduction, got in zip(REDUCTIONS, door(case, arrays, REDUCTIONS)):
                want, want_second, want_gradient = case.want(arrays, reduction)
                assert_close(got.loss, want)
                assert_close(got.gradient, want_gradient, scale=scale)
                if case.has_second:
                    assert np.float32(got.second) == pytest.approx(want_second, rel=1e-6)
            [got] = door(case, arrays)
            # In that loss, slots of image 1 were candidates of the others.
            if case.operator != "matching_contrastive_loss":
                is_number = ~np.isnan(got.loss)
                np.testing.assert_array_equal(got.loss[is_number], clean.loss[is_number])
            if door.has_policies:
                text = f"^{name}: image 1 of 3 holds a NaN or an infinity"
                with pytest.raises(ValueError, match=text):
                    door.function(case)(*door_arrays(door, arrays), on_nonfinite="raise")


def door_arrays(door, arrays):
    return list(map(as_tensor, arrays)) if hasattr(door, "path") else arrays


@every_loss_of_images
@not_compiled
def test_empty(case, door):
    for shapes in case.empty:
        arrays = [np.zeros(shape) for shape in shapes]
        for reduction, got in zip(REDUCTIONS, door(case, arrays, REDUCTIONS)):
            want, want_second, _ = case.want(arrays, reduction)
            assert np.shape(got.loss) == np.shape(want)
            assert_close(got.loss, want)
            assert got.gradient.shape == shapes[-1] and not got.gradient.any()
            if case.has_second:
                np.testing.assert_allclose(got.second, want_second, rtol=1e-6)


@every_loss_of_images
@not_compiled
def test_zero_slots_and_the_floor_of_a_norm(case, door):
    arrays = case.arrays()
    for x in arrays:
        x[0, 0] = 0
        x[-1] *= 1e-3  # below the larger floor
    for eps in (1e-10, 1e-2):
        want, _, want_gradient = case.want(arrays, "none", eps=eps)
        [got] = door(case, arrays, eps=eps)
        assert_close(got.loss, want, scale=10)
        np.testing.assert_allclose(got.gradient, want_gradient, rtol=1e-9, atol=1e-9 / eps * 1e-2)


@every_loss_of_images
@not_compiled
def test_squares_that_overflow_or_vanish(case, door):
    arrays = case.arrays()
    want, _, _ = case.want(arrays, "none")
    for dtype, large, floors in (("float64", 1e200, [1e-250]), ("float32", 1e30, [1e-35, 1e-300])):
        scaled = [x.copy() for x in arrays]
        for x in scaled:
            x[1], x[-1] = large * x[1], x[-1] / large
        for eps in floors:
            [got] = door(case, [x.astype(dtype) for x in scaled], eps=eps)
            assert_close(got.loss, want, dtype, scale=10)
            assert np.isfinite(got.gradient[0]).all()


def wrong_arguments(case):
    """Wrong arguments, the type of the error and a pattern of its text."""
    arrays, (*_, last) = case.arrays(), case.arrays()
    name, shape = case.inputs[-1], last.shape
    first, wanted = case.inputs[0], case.wanted[0]
    quoted = lambda x: str(list(x)).replace("[", r"\[").replace("]", r"\]")  # noqa: E731
    wanted = wanted.replace("[", r"\[").replace("]", r"\]")
    flat = [x[0] if case.takes_reduction else x[0, 0] for x in arrays]
    yield flat, ValueError, f"^{first} has shape {quoted(flat[0].shape)}; wanted {wanted}"
    if wanted.startswith(r"\[2B"):
        text = (
            f"^{first} has shape {quoted((3, *shape[1:]))}; wanted {wanted}, in which rows i and i"
        )
        yield [x[:3] for x in arrays], ValueError, text
        pairs = [np.stack([x[:3], x[3:]], 1) for x in arrays]
        text = rf"^{first} has shape {quoted(pairs[0].shape)}; wanted {wanted}.*; x .* becomes"
        yield pairs, ValueError, text
    if len(arrays) == 2:
        wanted = case.wanted[1].replace("[", r"\[").replace("]", r"\]")
        text = f"^{name} has shape {quoted((*shape[:-1], 2))}; wanted {wanted} = "
        yield [arrays[0], last[..., :2]], ValueError, text
        yield [arrays[0], last[:2]], ValueError, f"^{name} has shape"
        yield (
            [arrays[0], last.astype(np.float32)],
            TypeError,
            (f"{first} is (torch.)?float64 and {name} is (torch.)?float32; wanted the same dtype"),
        )
    for dtype in ("int32", "int64", "bool", "complex64"):
        yield (
            [x.astype(dtype) for x in arrays],
            TypeError,
            f"^{first} is (torch.)?{dtype}; wanted float64",
        )
    yield [*arrays[:-1], "text"], TypeError, rf"^{name} is (str|<U4); wanted"


OPTIONS = [
    *(({"reduction": x}, ValueError, "^reduction is .*; wanted \"mean\", \"sum\" or \"none\"")
      for x in ("average", ["sum"], None, 1, b"mean")),
    *(({"eps": x}, ValueError, "^eps is .*; wanted a positive, finite number")
      for x in (0, -1, np.inf, np.nan, 10**400, 10**5000)),
    *(({"eps": x}, TypeError, "^eps is .*; wanted a number") for x in ("1", None, True)),
    *(({"temperature": x}, ValueError, "^temperature is .*; wanted a positive, finite number")
      for x in (0, -1, np.inf, np.nan)),
    *(({"temperature": x}, TypeError, "^temperature is .*; wanted a number")
      for x in ("1", None, True, np.ones((2, 2)))),
    ({"on_nonfinite": "ignore"}, ValueError, "^on_nonfinite is 'ignore'; wanted \"propagate\" or"),
]  # fmt: skip


@every_loss
@not_compiled
def test_bad_input_is_an_error_that_says_what_was_given(case, door):
    function = door.function(case)
    for arrays, error, text in wrong_arguments(case):
        if hasattr(door, "path"):
            arrays = [x if isinstance(x, str) else as_tensor(x) for x in arrays]
        with pytest.raises(error, match=text):
            function(*arrays)
    arrays = door_arrays(door, case.arrays())
    for options, error, text in OPTIONS:
        is_taken = {
            "reduction": case.takes_reduction,
            "eps": case.takes_reduction,
            "temperature": "temperature" in dict(case.options),
            "on_nonfinite": door.has_policies,
        }
        if is_taken[next(iter(options))]:
            with pytest.raises(error, match=text):
                function(*arrays, **options)
    if "temperature" in dict(case.options):  # float32 would round this temperature to zero
        arrays = [x.astype(np.float32) for x in case.arrays()]
        with pytest.raises(ValueError, match="temperature is 5e-39"):
            function(*door_arrays(door, arrays), 5e-39)


@traced
def test_bad_input_is_an_error_when_traced(door):
    case = CASES[0]
    with pytest.raises(Exception, match=r"f has shape \[.*; wanted \[2B, S, C\]"):
        list(door(case, [x[:3] for x in case.arrays()]))
