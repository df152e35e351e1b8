"""osc.jax under what a program may wrap it in or switch on: the results are those without."""

import warnings

import numpy as np
import pytest
from jax_cases import LOSSES, NO_DEPRECATIONS, OPERATORS, gaussian, jax, jnp

import osc

pytestmark = NO_DEPRECATIONS


def scalar(name, dtype="float32"):
    """The mean of a loss, and its array."""
    loss, shape = LOSSES[name]
    return lambda x: loss(x, "mean"), gaussian(*shape, dtype=dtype)


def assert_close(got, want, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, want
    )


@pytest.mark.parametrize("name", LOSSES)
def test_rematerialisation(name):
    loss, x = scalar(name)
    step = jax.jit(jax.value_and_grad(jax.checkpoint(loss)))
    assert_close(step(x), jax.value_and_grad(loss)(x))
    nothing = jax.checkpoint_policies.nothing_saveable
    assert_close(jax.grad(jax.checkpoint(loss, policy=nothing))(x), jax.grad(loss)(x))


@pytest.mark.parametrize("name", OPERATORS)
def test_control_flow(name):
    loss, x = scalar(name)
    xs = jnp.stack([x, 2 * x + 1, x * x])
    want = jnp.stack([jax.grad(loss)(x) for x in xs])
    assert_close(jax.grad(lambda xs: jax.lax.map(loss, xs).sum())(xs), want)
    assert_close(jax.lax.scan(lambda total, x: (total + loss(x), None), 0.0, xs)[0],
                 sum(map(loss, xs)))  # fmt: skip
    either = jax.jit(lambda x: jax.lax.cond(x.sum() > 0, loss, lambda x: x.sum(), x))
    assert_close(either(jnp.abs(x)), loss(jnp.abs(x)))
    steps = jax.lax.fori_loop(0, 2, lambda _, x: x - jax.grad(loss)(x), x)
    once = x - jax.grad(loss)(x)
    assert_close(steps, once - jax.grad(loss)(once))


@pytest.mark.parametrize("name", OPERATORS)
def test_without_jit(name):
    loss, x = scalar(name)
    want = jax.value_and_grad(loss)(x)
    with jax.disable_jit():
        assert_close(jax.value_and_grad(loss)(x), want)


@pytest.mark.parametrize("name", OPERATORS)
def test_grad_of_vmap_and_vmap_without_an_axis(name):
    loss, x = scalar(name)
    xs = jnp.stack([x, 2 * x + 1])
    want = jnp.stack([jax.grad(loss)(x) for x in xs])
    assert_close(jax.grad(lambda xs: jax.vmap(loss)(xs).sum())(xs), want)
    assert_close(jax.vmap(jax.grad(jax.jit(loss)))(xs), want)
    assert_close(jax.vmap(loss, in_axes=None, axis_size=3)(x), jnp.full(3, loss(x)))


@pytest.mark.parametrize("name", OPERATORS)
def test_a_donated_array(name):
    loss, x = scalar(name)
    want = jax.grad(loss)(x)
    assert_close(jax.jit(jax.grad(loss), donate_argnums=0)(x.copy()), want)


@pytest.mark.parametrize("name", OPERATORS)
def test_stricter_promotion_than_the_default(name):
    loss, x = scalar(name)
    want = jax.value_and_grad(loss)(x)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        assert_close(jax.value_and_grad(loss)(x), want)
        jax.jacrev(jax.grad(loss))(x)


@pytest.mark.parametrize("name", OPERATORS)
def test_debugging_switches(name):
    loss, x = scalar(name)
    want = jax.value_and_grad(loss)(x)
    with jax.debug_nans(True), jax.debug_infs(True), jax.checking_leaks():
        assert_close(jax.jit(jax.value_and_grad(loss))(x), want)


def test_debug_nans_finds_a_nan():
    loss, x = scalar("contrastive")
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        loss(x.at[0, 0, 0].set(jnp.nan))


@pytest.mark.parametrize("name", OPERATORS)
def test_weakly_typed_arrays(name):
    loss, x = scalar(name)
    weak = jax.lax.full_like(x, 0.5) if name == "variance" else jnp.broadcast_to(0.5, x.shape)
    assert jax.jit(loss)(weak).dtype == x.dtype
    assert jax.grad(loss)(weak).shape == x.shape


@pytest.mark.parametrize("name", OPERATORS)
def test_the_hessian_takes_reverse_mode(name):
    loss, x = scalar(name)
    hessian = jax.jacrev(jax.jacrev(loss))(x).reshape(x.size, x.size)
    assert_close(hessian, hessian.T, 1e-4)
    for forward in (jax.hessian(loss), jax.jacfwd(loss), lambda x: jax.jvp(loss, (x,), (x,))):
        with pytest.raises(TypeError, match="forward-mode"):
            forward(x)


def test_assignments_have_no_derivative_in_either_mode():
    f, cost = gaussian(6, 4, 5, dtype="float32"), gaussian(3, 4, 6, dtype="float32")

    def total(f):
        return osc.jax.match_slots(f).sum() * f.sum()

    assert_close(jax.grad(total)(f), jnp.full(f.shape, osc.jax.match_slots(f).sum()))
    _, tangent = jax.jvp(total, (f,), (jnp.ones_like(f),))
    assert_close(tangent, osc.jax.match_slots(f).sum() * f.size)

    def chosen(cost):
        return jnp.take_along_axis(cost, osc.jax.linear_sum_assignment(cost)[0][..., None], -1)

    assert_close(jax.jvp(chosen, (cost,), (cost,))[1], chosen(cost))


@pytest.mark.parametrize("name", LOSSES)
def test_in_16_bits(name):
    """Computed in float32, so as near to the loss of the same numbers as the type allows."""
    for dtype, tolerance in (("float16", 2e-3), ("bfloat16", 1e-2)):
        loss, x = scalar(name, dtype)
        value, gradient = jax.jit(jax.value_and_grad(loss))(x)
        assert value.dtype == gradient.dtype == dtype
        assert_close(value.astype("float32"), loss(x.astype("float32")), tolerance)


def test_extreme_options_warn_of_nothing():
    """Not while the formulas are traced, either, which compute in float32."""
    f, p = gaussian(6, 4, 5, dtype="float32").at[0, 0].set(0), gaussian(6, 4, 5, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for eps in (1e300, 1e-300):
            values = [
                osc.jax.matching_similarity_loss_per_img(f, f, "none", eps=eps),
                osc.jax.matching_contrastive_loss(f, eps=eps),
                jax.grad(osc.jax.matching_similarity_loss_per_img, 1)(f, p, eps=eps),
            ]
            assert all(np.isfinite(value).all() for value in values)
        assert_close(osc.jax.matching_contrastive_loss(p, 1e300), jnp.log(23.0))


def test_a_zero_slot_below_any_floor(each_way):
    slots = gaussian(6, 4, 5, dtype="float32").at[0, 0].set(0)
    losses = osc.jax.matching_similarity_loss_per_img(slots, slots, "none", eps=1e-300)
    assert losses[0] == 0.5


def test_float64_where_it_is_off():
    enable_x64 = getattr(jax, "enable_x64", None)
    if enable_x64 is None:
        from jax.experimental import enable_x64
    with enable_x64(True):
        x = gaussian(4, 3, 2)
        assert osc.jax.matching_contrastive_loss(x).dtype == np.float64
        assert osc.jax.match_slots(x).dtype == np.int64
    with pytest.raises(TypeError, match="slots is float64, which takes jax_enable_x64"):
        osc.jax.matching_contrastive_loss(x)
    assert osc.jax.matching_contrastive_loss(np.asarray(x)).dtype == np.float32


@pytest.mark.parametrize(
    "dtype, named",
    [
        ("int32", "int32"),
        ("bool", "bool"),
        ("complex64", "complex64"),
        ("float8_e4m3fn", "float8_e4m3fn"),
        (jax.dtypes.float0, "float0"),
        (object, "object"),
        ("U3", "<U3"),
        (">f4", ">f4"),
        ("longdouble", "float128|longdouble"),
        ([("field", "f4")], "field"),
    ],
)
def test_other_dtypes_are_named(dtype, named):
    x = np.zeros((4, 3, 2), jnp.dtype(dtype) if dtype == "float8_e4m3fn" else dtype)
    for call in (
        osc.jax.matching_contrastive_loss,
        lambda x: osc.jax.matching_similarity_loss_per_img(x, x),
        osc.jax.variance_covariance_loss,
        osc.jax.match_slots,
        osc.jax.linear_sum_assignment,
    ):
        with pytest.raises(TypeError, match=f" is .*({named}).*; wanted float64, float32"):
            call(x)


def test_other_arguments_are_named():
    x = gaussian(4, 3, 2, dtype="float32")
    for call, error, text in [
        (lambda: osc.jax.match_slots(jax.random.split(jax.random.key(0), (4, 3, 2))),
         TypeError, "f is key<"),
        (lambda: osc.jax.match_slots(jax.ShapeDtypeStruct((4, 3, 2), "float32")),
         TypeError, "f is ShapeDtypeStruct"),
        (lambda: osc.jax.match_slots(np.ma.masked_array(np.asarray(x))),
         ValueError, "masked arrays are not supported"),
        (lambda: osc.jax.match_slots(jnp.float32(1)), ValueError, r"f has shape \[\]"),
        (lambda: jax.grad(lambda t: osc.jax.matching_contrastive_loss(x, t))(0.3),
         TypeError, "temperature is .*Tracer; wanted a number"),
        (lambda: osc.jax.matching_contrastive_loss(x, jnp.float32(0.3)),
         TypeError, "temperature is ArrayImpl; wanted a number"),
        (lambda: jax.jit(osc.jax.linear_sum_assignment)(x, True),
         TypeError, "maximize is .*static_argnames"),
    ]:  # fmt: skip
        with pytest.raises(error, match=text):
            call()
    static = jax.jit(osc.jax.matching_contrastive_loss, static_argnames=("temperature", "eps"))
    assert_close(static(x, temperature=0.3, eps=1e-6), osc.jax.matching_contrastive_loss(x, 0.3))


def test_custom_calls_check_their_buffers():
    """A call from elsewhere is an error where it does not fit, and reads nothing beyond its end."""
    assert osc.jax.export_checks()  # osc.jax is imported, which registers the handler
    slots, half = jnp.ones((4, 3, 2), "float32"), jnp.ones((2, 3, 2), "float32")
    loss, matching = jax.ShapeDtypeStruct((), "float32"), jax.ShapeDtypeStruct((2, 3, 2), "int32")
    matching_of_3 = jax.ShapeDtypeStruct((2, 3, 3), "int32")
    name = "matching_similarity_loss_per_img"
    options = {"operator": name, "backward": np.bool_(False)}
    options |= {"reduction": np.int64(0), "eps": np.float64(1e-10), "on_nonfinite": np.int64(0)}
    for arrays, results, changed, text in [
        ((half, slots), (loss, matching), {}, r"p has shape \[4, 3, 2\]; wanted"),
        ((slots.astype("float16"), slots), (loss, matching), {}, "p is float32; wanted float16"),
        ((slots[0], slots[0]), (loss, matching), {}, "f has another type or number"),
        ((slots, slots), (loss, loss), {}, "matching has another type or number"),
        (
            (slots, slots),
            (loss, jax.ShapeDtypeStruct(half.shape, "float32")),
            {},
            "matching has another type or number",
        ),
        ((slots, slots), (loss, matching_of_3), {}, "matching has another type or number"),
        ((slots, slots), (matching, matching), {}, "loss .*"),
        ((slots.astype(int), slots.astype(int)), (loss, matching), {}, "f is of no dtype|float64"),
        ((slots, slots), (loss, matching), {"reduction": np.int64(7)}, "reduction is 7; wanted"),
        (
            (slots, slots),
            (loss, matching),
            {"reduction": np.int64(2**32)},
            "reduction is 4294967296",
        ),
        ((slots, slots), (loss, matching), {"operator": "other"}, "has no operator other"),
        ((slots,), (loss, matching), {}, "p is missing"),
        ((slots, slots, slots), (loss, matching), {}, "fewer arrays than were given"),
    ]:
        custom_call = jax.ffi.ffi_call("osc_call", results)
        with pytest.raises(Exception, match=text):
            jax.block_until_ready(custom_call(*arrays, **{**options, **changed}))
