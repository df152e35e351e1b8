"""Every loss under PyTorch's autograd, torch.func, autocast, torch.compile and torch.export."""

import contextlib

import pytest
import torch
from conformance import (
    BY_NAME,
    CASES,
    OF_IMAGES,
    ONE_OF_EACH_OPERATOR,
    PyTorch,
    as_tensor,
    gaussian,
)
from torch.autograd import gradcheck, gradgradcheck

import osc
from osc.loss_objects import matching_similarity_loss_per_img

every_loss = pytest.mark.parametrize("case", CASES, ids=str)
every_operator = pytest.mark.parametrize("case", ONE_OF_EACH_OPERATOR, ids=str)


@pytest.fixture(scope="module", params=["kernels", "device path"])
def door(request):
    door = PyTorch(request.param)
    with door.switched_on():
        yield door


SMALL = {
    "small to large": ((2, 2, 3, 4), (2, 2, 2, 4)),
    "variance": ((2, 5, 3),),
    "covariance": ((2, 5, 3),),
}


def small(case):
    shape = (4, 3) if case.wanted[0] == "[2B, C]" else (4, 2, 3)
    shapes = SMALL.get(case.name, (shape,) * len(case.inputs))
    return [as_tensor(0.7 * gaussian(*shape, seed=i)) for i, shape in enumerate(shapes)]


def loss_of_last(case, constants, **options):
    """The loss as a function of the tensor that is differentiated."""
    function = PyTorch().function(case)

    def loss(last):
        got = function(*constants, last, **{**dict(case.options), **options})
        return got[case.result] if isinstance(got, tuple) else got

    return loss


@every_loss
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_derivatives_in_reverse_and_forward_mode(case, reduction, door):
    *constants, last = small(case)
    options = {}
    if case.takes_reduction:
        options = {"reduction": reduction, "eps": 1e-2}
        last.view(-1, last.shape[-1])[0] = torch.tensor([3e-3, 0, 1e-3, 0])[: last.shape[-1]]
    elif reduction != "none":
        pytest.skip("has no reduction")
    loss = loss_of_last(case, constants, **options)
    modes = {"check_forward_ad": True, "check_batched_grad": True}
    is_kernel = door.is_library
    last.requires_grad_()
    assert gradcheck(loss, (last,), eps=1e-7, check_batched_forward_grad=is_kernel, **modes)
    assert gradgradcheck(loss, (last,), eps=1e-7, check_fwd_over_rev=True)


def test_of_two_terms_together_and_of_one_alone(door):
    x = small(BY_NAME["variance"])[0].requires_grad_()
    assert gradcheck(osc.loss_global.variance_covariance_loss, (x,), check_forward_ad=True)
    assert gradgradcheck(osc.loss_global.variance_covariance_loss, (x,), check_fwd_over_rev=True)


@every_loss
def test_no_gradient_flows_to_the_first_of_two(case, door):
    *constants, last = small(case)
    if not constants:
        return
    f, p = constants[0].requires_grad_(), last.requires_grad_()
    function = PyTorch().function(case)
    loss = function(f, p)[0] if case.has_second else function(f, p)
    (gradient,) = torch.autograd.grad(loss, p, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), p, create_graph=True)
    for value in (loss, second.square().sum()):
        assert torch.autograd.grad(value, f, allow_unused=True, retain_graph=True) == (None,)
    # If p needs no gradient, the loss needs none: backward() then raises.
    loss = function(f, p.detach())
    assert not (loss[0] if case.has_second else loss).requires_grad


@pytest.mark.parametrize("case", OF_IMAGES, ids=str)
def test_second_derivatives_beside_a_non_finite_image(case, door):
    *constants, last = map(as_tensor, case.arrays())
    row = 4 if case.wanted[0].startswith("[2B") else 1
    others = [i for i in range(len(last)) if i % 3 != 1]  # rows of images 0 and 2
    last[row].flatten()[0] = float("nan")

    def second(constants, x, rows):
        x = x.detach().requires_grad_()
        value = loss_of_last(case, constants, reduction="none")(x)
        one = torch.ones_like(value).masked_fill(value.isnan(), 0)
        (gradient,) = torch.autograd.grad(value, x, one, create_graph=True)
        return torch.autograd.grad(gradient[rows].square().sum(), x)[0]

    got = second(constants, last, others)
    want = second([x[others] for x in constants], last[others], range(len(others)))
    assert got[row].isnan().all()
    torch.testing.assert_close(got[others], want)


@every_operator
def test_a_third_derivative_and_torch_func(case):
    *constants, last = small(case)
    loss, direction = loss_of_last(case, constants), torch.ones_like(last).cumsum(0).sin()

    def third(x):
        value = loss(x)
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            value = (gradient * direction).sum()
        return value

    assert gradcheck(third, (last.clone().requires_grad_(),))
    gradient = torch.autograd.functional.jacobian(loss, last)
    hessian = torch.autograd.functional.hessian(loss, last)
    func = torch.func
    torch.testing.assert_close(func.grad(loss)(last), gradient)
    tangent = func.jvp(loss, (last,), (direction,))[1]
    torch.testing.assert_close(tangent, (gradient * direction).sum())
    for derivative in (
        func.hessian(loss),
        func.jacrev(func.jacrev(loss)),
        func.jacfwd(func.jacrev(loss)),
        func.jacrev(func.jacfwd(loss)),
    ):
        torch.testing.assert_close(derivative(last), hessian)
    with pytest.raises(NotImplementedError, match="forward mode over forward mode"):
        func.jacfwd(func.jacfwd(loss))(last)
    x = last.clone().requires_grad_()  # autograd around torch.func
    (second,) = torch.autograd.grad((func.grad(loss)(x) * direction).sum(), x)
    torch.testing.assert_close(second, torch.tensordot(hessian, direction, direction.dim()))


@every_operator
def test_vmap_is_a_loop(case, door):
    items = [case.arrays(seed=10 * n) for n in range(5)]
    *constants, last = (torch.stack(list(map(as_tensor, x))) for x in zip(*items))
    vmap, options = torch.func.vmap, {"reduction": "none"} if case.takes_reduction else {}

    def functions(constants):
        loss = loss_of_last(case, constants)
        return loss, loss_of_last(case, constants, **options), torch.func.grad(loss)

    def assert_equal(got, want):
        torch.testing.assert_close(got, torch.stack(want), rtol=0, atol=0)

    for i in range(3):
        function = lambda constants, x, i=i: functions(constants)[i](x)  # noqa: E731
        each = [function([c[n] for c in constants], last[n]) for n in range(5)]
        assert_equal(vmap(function)(constants, last), each)
        first = [c[0] for c in constants]
        along_2 = vmap(function, in_dims=(None, 2))(first, last.movedim(0, 2))
        assert_equal(along_2, [function(first, x) for x in last])
        if i == 0:
            twice = vmap(vmap(function))([c[None] for c in constants], last[None])
            assert_equal(twice[0], each)
            assert vmap(function)([c[:0] for c in constants], last[:0]).shape == (0,)


def test_vmap_of_the_matching_and_the_solver():
    f = torch.stack([as_tensor(gaussian(4, 3, 5, seed=i)) for i in range(7)])
    solve = lambda f: osc.linear_sum_assignment(f)[0]  # noqa: E731
    accuracy = lambda f: osc.loss_global.contrastive_loss(f[:, 0])[1]  # noqa: E731
    for function in (osc.match_slots, solve, accuracy):
        for dim in (0, 2):
            got = torch.func.vmap(function, in_dims=dim)(f.movedim(0, dim))
            assert torch.equal(got, torch.stack([function(x) for x in f]))
    assert torch.func.vmap(osc.match_slots)(f[:0]).shape == (0, 2, 3)


@every_loss
@pytest.mark.parametrize("under", ["float16", "bfloat16"])
def test_autocast_computes_in_float32(case, under, door):
    arrays = case.arrays(0, under)
    dtype = getattr(torch, under)
    with torch.autocast("cpu", dtype):
        [got] = door(case, arrays)
        [double] = door(case, case.arrays())
    [want] = door(case, [x.astype("float32") for x in arrays])
    assert got.loss.dtype == "float32" and double.loss.dtype == "float64"
    assert (got.loss == want.loss).all()
    assert (got.gradient == want.gradient.astype(got.gradient.dtype)).all()


def test_16_bits_and_float32_meet_under_autocast():
    f, p = map(as_tensor, BY_NAME["similarity"].arrays(0, "float32"))
    with torch.autocast("cpu", torch.bfloat16):
        assert matching_similarity_loss_per_img(f.bfloat16(), p).dtype == torch.float32
        with pytest.raises(TypeError, match="f is torch.bfloat16 and p is torch.float64"):
            matching_similarity_loss_per_img(f.bfloat16(), p.double())
    with pytest.raises(TypeError, match="f is torch.bfloat16 and p is torch.float32"):
        matching_similarity_loss_per_img(f.bfloat16(), p)


@pytest.mark.parametrize(
    "backend, names", [("aot_eager", list(BY_NAME)), ("inductor", ["similarity"])]
)
def test_compile_in_one_graph_for_all_sizes(backend, names):
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    cases = [BY_NAME[name] for name in names if name != "small to large"]  # of another rank
    calls = [(case, PyTorch().function(case), dict(case.options)) for case in cases]

    def function(x):
        total = 0
        for case, call, options in calls:
            y = x[:, 0] if case.wanted[0] == "[2B, C]" else x
            got = call(*[2 * y] * (len(case.inputs) - 1), y * y, **options)
            total = total + (got[case.result] if isinstance(got, tuple) else got)
        return total.square()

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=backend)
    for shape in ((6, 4, 8), (10, 4, 8), (4, 6, 5)):
        x = as_tensor(gaussian(*shape)).requires_grad_()
        got, want = compiled(x), function(x)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(torch.autograd.grad(got, x), torch.autograd.grad(want, x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs + 1


def test_compile_of_the_solver_and_the_matching():
    torch._dynamo.reset()
    solve = lambda f: (osc.match_slots(f), *osc.linear_sum_assignment(f, True))  # noqa: E731
    f = as_tensor(gaussian(6, 4, 5))
    compiled = torch.compile(solve, fullgraph=True, dynamic=True, backend="aot_eager")
    assert all(torch.equal(a, b) for a, b in zip(compiled(f), solve(f)))


def test_compile_under_autocast_and_torch_func():
    torch._dynamo.reset()
    f, p = map(as_tensor, BY_NAME["similarity"].arrays(0, "bfloat16"))

    def autocast(f, p):
        with torch.autocast("cpu", torch.bfloat16):
            return matching_similarity_loss_per_img(f, p)

    def gradient(f, p):
        return torch.func.grad(lambda p: matching_similarity_loss_per_img(f, p))(p)

    for function in (autocast, gradient):
        got = torch.compile(function, fullgraph=True, backend="aot_eager")(f, p)
        want = function(f, p)
        assert got.dtype == want.dtype and torch.equal(got, want)


def test_compiled_autograd():
    torch._dynamo.reset()
    f, p = map(as_tensor, BY_NAME["similarity"].arrays())
    want = torch.func.grad(lambda p: matching_similarity_loss_per_img(f, p))(p)
    p.requires_grad_()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        matching_similarity_loss_per_img(f, p).backward()
    torch.testing.assert_close(p.grad, want)


class Losses(torch.nn.Module):
    def forward(self, f, p):
        return matching_similarity_loss_per_img(f, p), osc.match_slots(f)


@pytest.mark.parametrize("strict", [False, True])
def test_export_for_all_sizes(strict):
    sizes = (torch.export.Dim(name, min=2, max=1000) for name in ("images", "slots", "channels"))
    images, slots, channels = sizes
    shape = {0: 2 * images, 1: slots, 2: channels}
    f, p = as_tensor(gaussian(2, 8, 3, 5))
    program = torch.export.export(
        Losses(), (f, p), dynamic_shapes={"f": shape, "p": shape}, strict=strict
    )
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert {"osc.matching_similarity_loss_per_img.default", "osc.match_slots.default"} <= {*targets}
    f, p = as_tensor(gaussian(2, 14, 4, 7))
    assert all(torch.equal(a, b) for a, b in zip(program.module()(f, p), Losses()(f, p)))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("on_device", [False, True])
def test_backward_through_a_retained_graph_gives_the_same_bits(reduction, on_device):
    f, p = as_tensor(gaussian(2, 6, 5, 7)).float()
    p.requires_grad_()
    with PyTorch("device path").switched_on() if on_device else contextlib.nullcontext():
        for weight in (1, 0.1, -3):
            loss = weight * matching_similarity_loss_per_img(f, p, reduction)
            grad = lambda loss=loss, **k: torch.autograd.grad(loss, p, **k)[0]  # noqa: E731
            first, second, third = (grad(retain_graph=True) for _ in range(3))
            assert first.data_ptr() != second.data_ptr()
            close = {"rtol": 0, "atol": 1e-6 * float(second.abs().max())}
            torch.testing.assert_close(first, second, **close)
            first.zero_()  # the receiver of a gradient may write to it
            assert torch.equal(second, third) and second.abs().max() > 0
            differentiable = grad(create_graph=True).detach()
            torch.testing.assert_close(differentiable, second, **close)
            loss.backward()
            assert torch.equal(p.grad, second)
            p.grad = None
