"""The operators torch.ops.osc.* as PyTorch's own checks, its compiler, torch.export and torch.func
see them."""

import contextlib
import pathlib
import subprocess

import pytest
import torch
import torch_oracle
from codes import MEAN, NONE, REDUCTIONS, SUM
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.library import opcheck

import osc
from osc import _torch
from osc.loss_objects import matching_similarity_loss_per_img

operators = torch.ops.osc


def random_slots(*shape, dtype=torch.float64, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


LAYOUTS = {
    "contiguous": lambda b, s, c, dtype: random_slots(b, s, c, dtype=dtype),
    "slots first": lambda b, s, c, dtype: random_slots(s, b, c, dtype=dtype).transpose(0, 1),
    "a slice": lambda b, s, c, dtype: random_slots(2 * b, s, c + 3, dtype=dtype)[::2, :, :c],
    "channels first": lambda b, s, c, dtype: random_slots(b, c, s, dtype=dtype).transpose(1, 2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_opcheck(layout, dtype):
    cases = [((8, 3, 8), NONE), ((2, 1, 5), MEAN), ((4, 3, 0), SUM), ((0, 3, 4), NONE)]
    for shape, reduction in cases if dtype == torch.float32 else cases[:1]:
        f, p = LAYOUTS[layout](*shape, dtype), LAYOUTS[layout](*shape, dtype).requires_grad_()
        opcheck(operators.matching_similarity_loss_per_img, (f, p, None, reduction, 1e-10, 0))
        loss, matching = operators.matching_similarity_loss_per_img(
            f, p.detach(), None, reduction, 1e-10, 0
        )
        incoming = torch.ones_like(loss).requires_grad_()
        opcheck(
            operators.matching_similarity_loss_per_img_backward,
            (incoming, f, p, matching, reduction, 1e-10),
        )
        opcheck(operators.match_slots, (p, 1e-10, 0))
        opcheck(operators.linear_sum_assignment, (p, True, 1))


def strides(tensors):
    return [(x.shape, x.stride(), x.dtype) for x in tensors]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_are_known_without_data(layout):
    f, p = LAYOUTS[layout](6, 4, 5, torch.float32), LAYOUTS[layout](6, 4, 5, torch.float32)

    def run(f, p):
        loss, matching = operators.matching_similarity_loss_per_img(f, p, None, NONE, 1e-10, 0)
        return (
            loss,
            matching,
            operators.matching_similarity_loss_per_img_backward(loss, f, p, matching, NONE, 1e-10),
            *osc.linear_sum_assignment(f),
        )

    with torch._subclasses.FakeTensorMode() as mode:
        fake = strides(run(mode.from_tensor(f), mode.from_tensor(p)))
    assert fake == strides(run(f, p))
    assert strides(run(f.to("meta"), p.to("meta"))) == fake


def loss_and_gradient(function, f, p):
    p = p.detach().requires_grad_()
    loss = function(f, p)
    return loss.detach(), torch.autograd.grad(loss.sum(), p)[0]


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_in_one_graph_for_all_sizes(backend):
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    compiled = torch.compile(
        lambda f, p: matching_similarity_loss_per_img(2 * f, p * p, "none").square(),
        fullgraph=True,
        dynamic=True,
        backend=backend,
    )
    for images, slots, channels in ((3, 4, 8), (5, 4, 8), (2, 6, 5)):
        f, p = random_slots(2, 2 * images, slots, channels)
        got = loss_and_gradient(compiled, f, p)
        want = loss_and_gradient(lambda f, p: torch_oracle.loss(f, p * p, "none").square(), f, p)
        for a, b in zip(got, want):
            torch.testing.assert_close(a, b)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs + 1


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_compiled_reduction_is_a_constant(reduction):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda f, p: matching_similarity_loss_per_img(f, p, reduction),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    f, p = random_slots(2, 6, 4, 5)
    for got, want in zip(
        loss_and_gradient(compiled, f, p),
        loss_and_gradient(lambda f, p: torch_oracle.loss(f, p, reduction), f, p),
    ):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("code", [-1, 3, 2**32 + 1])
def test_an_unknown_reduction_is_an_error(code):
    f = random_slots(4, 3, 2)
    matching, log_sums = osc.match_slots(f), torch.zeros(12, dtype=torch.float64)
    one, matchings = f.new_ones(()), torch.zeros(1, 4, 4, 3, dtype=torch.int64)
    ranks, crops = f.unsqueeze(0), f.unsqueeze(0)
    calls = {
        "matching_similarity_loss_per_img": (f, f, None, code, 1e-10, 0),
        "matching_similarity_loss_per_img_with_gradient": (f, f, None, code, 1e-10, 0),
        "matching_similarity_loss_per_img_backward": (one, f, f, matching, code, 1e-10),
        "matching_contrastive_loss": (f, None, 0, 1.0, code, 1e-10, 0),
        "matching_contrastive_loss_backward": (
            *(one, f, matching, log_sums, 0),
            *(1.0, code, 1e-10),
        ),
        "matching_contrastive_loss_gathered": (ranks, None, 0, 1.0, code, 1e-10, 0),
        "matching_contrastive_loss_gathered_backward": (
            *(one.view(1), ranks, matching, log_sums),
            *(0, 1.0, code, 1e-10),
        ),
        "matching_similarity_loss_small_to_large": (crops, crops, None, code, 1e-10, 0),
        "matching_similarity_loss_small_to_large_backward": (
            *(one, crops, crops, matchings),
            *(code, 1e-10),
        ),
    }
    for name, arguments in calls.items():
        operator = getattr(operators, name)
        for path in (contextlib.nullcontext, _torch.on_cpu_tensors):
            with path(), pytest.raises(ValueError, match=f"^reduction is {code}; wanted 0 "):
                operator(*arguments)
        without_values = [x.to("meta") if isinstance(x, torch.Tensor) else x for x in arguments]
        with pytest.raises(ValueError, match=f"^reduction is {code}; wanted 0 "):
            operator(*without_values)


def test_compile_of_the_solver_and_the_matching():
    torch._dynamo.reset()
    f = random_slots(6, 4, 5)
    compiled = torch.compile(
        lambda f: (osc.match_slots(f), *osc.linear_sum_assignment(f, True)),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for got, want in zip(compiled(f), (osc.match_slots(f), *osc.linear_sum_assignment(f, True))):
        assert torch.equal(got, want)


def test_compile_under_autocast_and_torch_func():
    torch._dynamo.reset()
    f, p = random_slots(2, 6, 4, 5, dtype=torch.bfloat16)

    def autocast(f, p):
        with torch.autocast("cpu", torch.bfloat16):
            return matching_similarity_loss_per_img(f, p)

    for function in (
        autocast,
        lambda f, p: grad(lambda p: matching_similarity_loss_per_img(f, p))(p),
    ):
        got = torch.compile(function, fullgraph=True, backend="aot_eager")(f, p)
        want = function(f, p)
        assert got.dtype == want.dtype and torch.equal(got, want)


def test_compiled_autograd():
    torch._dynamo.reset()
    f, p = random_slots(2, 6, 4, 5)
    p.requires_grad_()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        matching_similarity_loss_per_img(f, p).backward()
    torch.testing.assert_close(p.grad, torch_oracle.loss_and_gradient(f, p)[1])


def test_bad_input_is_an_error_of_the_compiled_function_too():
    torch._dynamo.reset()
    compiled = torch.compile(matching_similarity_loss_per_img, fullgraph=True, backend="aot_eager")
    with pytest.raises(Exception, match=r"f has shape \[3, 4, 5\]"):
        compiled(torch.ones(3, 4, 5), torch.ones(3, 4, 5))


class Losses(torch.nn.Module):
    def forward(self, f, p):
        return matching_similarity_loss_per_img(f, p), osc.match_slots(f)


@pytest.mark.parametrize("strict", [False, True])
def test_export_for_all_sizes(strict):
    images, slots, channels = (
        torch.export.Dim(name, min=2, max=1000) for name in ("images", "slots", "channels")
    )
    shape = {0: 2 * images, 1: slots, 2: channels}
    f, p = random_slots(2, 8, 3, 5)
    program = torch.export.export(
        Losses(), (f, p), dynamic_shapes={"f": shape, "p": shape}, strict=strict
    )
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert (
        "osc.matching_similarity_loss_per_img.default" in targets
        and "osc.match_slots.default" in targets
    )
    f, p = random_slots(2, 14, 4, 7)
    for got, want in zip(program.module()(f, p), Losses()(f, p)):
        assert torch.equal(got, want)


def test_vmap_is_a_loop():
    f, p = random_slots(2, 7, 4, 3, 5)
    for function in (
        matching_similarity_loss_per_img,
        lambda f, p: matching_similarity_loss_per_img(f, p, "none"),
        lambda f, p: grad(lambda p: matching_similarity_loss_per_img(f, p))(p),
        lambda f, p: osc.match_slots(f),
        lambda f, p: osc.linear_sum_assignment(p)[0],
    ):
        torch.testing.assert_close(
            vmap(function)(f, p),
            torch.stack([function(*item) for item in zip(f, p)]),
            rtol=0,
            atol=0,
        )
        along_2 = vmap(function, in_dims=(None, 2))(f[0], p.movedim(0, 2))
        torch.testing.assert_close(
            along_2, torch.stack([function(f[0], item) for item in p]), rtol=0, atol=0
        )
    twice = vmap(vmap(matching_similarity_loss_per_img))(
        f.unflatten(0, (1, 7)), p.unflatten(0, (1, 7))
    )
    assert torch.equal(twice, vmap(matching_similarity_loss_per_img)(f, p).unflatten(0, (1, 7)))


def test_torch_func_derivatives():
    f, p, v = random_slots(3, 4, 3, 5)
    loss, oracle = (
        lambda p, function=function: function(f, p)
        for function in (matching_similarity_loss_per_img, torch_oracle.loss)
    )
    gradient = torch_oracle.loss_and_gradient(f, p)[1]
    torch.testing.assert_close(grad(loss)(p), gradient)
    torch.testing.assert_close(
        grad(lambda p: operators.matching_similarity_loss_per_img(f, p, None, MEAN, 1e-10, 0)[0])(
            p
        ),
        gradient,
    )
    torch.testing.assert_close(jvp(loss, (p,), (v,))[1], (gradient * v).sum())
    second = torch.autograd.functional.hessian(oracle, p)
    for derivative in (
        hessian(loss),
        jacrev(jacrev(loss)),
        jacfwd(jacrev(loss)),
        jacrev(jacfwd(loss)),
    ):
        torch.testing.assert_close(derivative(p), second)
    q = p.clone().requires_grad_()  # autograd around torch.func
    (gradient,) = torch.autograd.grad((grad(loss)(q) * v).sum(), q)
    torch.testing.assert_close(gradient, torch.einsum("abcdef,def->abc", second, v))


def test_forward_over_forward_is_an_error_and_not_zero():
    f, p = random_slots(2, 2, 2, 3)
    with pytest.raises(NotImplementedError, match="forward mode over forward mode"):
        jacfwd(jacfwd(lambda p: matching_similarity_loss_per_img(f, p)))(p)


def test_the_library_needs_the_stable_abi_alone():
    library = pathlib.Path(osc.__file__).with_name("libosc_torch.so")
    symbols = subprocess.run(
        ["nm", "-D", "--undefined", "--demangle", library],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    names = [line.split(maxsplit=1)[1] for line in symbols if line]
    foreign = [
        name
        for name in names
        if not name.startswith(
            ("aoti_torch_", "torch_", "osc::", "typeinfo for osc::", "vtable for osc::")
        )
        and "osc::" not in name
    ]
    assert any(name.startswith("aoti_torch_") for name in names)
    assert not [
        name
        for name in foreign
        if "at::" in name or "c10" in name or "torch" in name or "Py" in name
    ]
    dynamic = subprocess.run(
        ["readelf", "-d", library], capture_output=True, text=True, check=True
    ).stdout
    assert "[libosc.so]" in dynamic and "[libtorch_cpu.so]" in dynamic and "python" not in dynamic
    assert [line.split("[")[1] for line in dynamic.split("\n") if "PATH" in line] == ["$ORIGIN]"]
