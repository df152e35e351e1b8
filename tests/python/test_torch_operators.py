"""The operators torch.ops.osc.* as PyTorch's own checks see them."""

import contextlib
import pathlib
import subprocess

import pytest
import torch
from conformance import ONE_OF_EACH_OPERATOR, as_tensor
from operator_calls import MEAN, NONE, SUM, calls_of, every_call, operators, schema_of
from torch.library import opcheck

import osc
from osc import _torch
from osc._operators import TABLE

every_operator = pytest.mark.parametrize("case", ONE_OF_EACH_OPERATOR, ids=str)
PATHS = {"kernels": contextlib.nullcontext, "device path": _torch.on_cpu_tensors}


@pytest.fixture(params=PATHS)
def path(request):
    with PATHS[request.param]():
        yield request.param


LAYOUTS = {
    "contiguous": lambda x: x,
    "first axes exchanged": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "a slice": lambda x: torch.cat([x, x], -1).repeat_interleave(2, 0)[::2, ..., : x.shape[-1]],
    "channels first": lambda x: x.transpose(1, -1).contiguous().transpose(1, -1),
}


def inputs_of(case, layout="contiguous", dtype="float32"):
    tensors = [LAYOUTS[layout](as_tensor(x)) for x in case.arrays(0, dtype)]
    tensors[-1].requires_grad_()
    return tensors


@every_operator
@pytest.mark.parametrize(
    "layout, dtype, reduction",
    [("first axes exchanged", "float32", NONE), ("a slice", "bfloat16", MEAN)],
)
def test_opcheck(case, layout, dtype, reduction):
    op, inputs = TABLE[case.operator], inputs_of(case, layout, dtype)
    for name, arguments in calls_of(op, inputs, reduction=reduction).items():
        if not name.endswith("_with_gradient"):  # which only autograd calls
            opcheck(getattr(operators, name), arguments)


@pytest.mark.parametrize("shape", [(2, 1, 5), (4, 3, 0), (0, 3, 4)])
def test_opcheck_of_small_and_empty_tensors(shape):
    f, p = torch.ones(shape), torch.ones(shape).requires_grad_()
    calls = calls_of(TABLE["matching_similarity_loss_per_img"], (f, p), reduction=SUM)
    for name in list(calls)[:2]:
        opcheck(getattr(operators, name), calls[name])
    opcheck(operators.match_slots, (p, 1e-10, 0))
    opcheck(operators.linear_sum_assignment, (p, True, 1))


@every_operator
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_are_known_without_data(case, layout, path):
    op, inputs = TABLE[case.operator], [x.detach() for x in inputs_of(case, layout)]

    def strides(inputs):
        calls = calls_of(op, inputs, reduction=NONE)
        for name in list(calls)[:2]:
            results = getattr(operators, name)(*calls[name])
            results = results if isinstance(results, tuple) else (results,)
            yield [(x.shape, x.stride(), x.dtype) for x in results]

    with torch._subclasses.FakeTensorMode() as mode:
        fake = list(strides([mode.from_tensor(x) for x in inputs]))
    assert fake == list(strides(inputs)) == list(strides([x.to("meta") for x in inputs]))


@pytest.mark.parametrize("code", [-1, 3, 2**32 + 1])
def test_an_unknown_reduction_is_an_error(code, path):
    for name, arguments in every_call().items():
        places = [i for i, x in enumerate(schema_of(name).arguments) if x.name == "reduction"]
        for i in places:
            wrong = (*arguments[:i], code, *arguments[i + 1 :])
            without_values = [x.to("meta") if isinstance(x, torch.Tensor) else x for x in wrong]
            for given in (wrong, without_values):
                with pytest.raises(ValueError, match=f"^reduction is {code}; wanted "):
                    getattr(operators, name)(*given)


@pytest.mark.parametrize("name", [x for x in every_call(reduction=NONE) if x.endswith("_backward")])
def test_gradients_and_residuals_that_do_not_fit_are_an_error(name):
    arguments = every_call(reduction=NONE)[name]
    names = [x.name for x in schema_of(name).arguments]
    for i, x in enumerate(arguments):
        if not names[i].startswith(("grad_", "matching", "log_sum_exp")):
            continue
        wrong = [x.float() if x.dtype == torch.float64 else x.double()]
        if x.dim() > 0:
            wrong.append(x[:, :1] if x.dim() > 1 and x.shape[0] == 1 else x[:1])
        if names[i] == "matching" and "small_to_large" not in name:
            wrong.append(x.clamp_max(0))  # no permutation
        for value in wrong:
            with pytest.raises(ValueError, match=f"^(given_)?{names[i]}"):
                getattr(operators, name)(*arguments[:i], value, *arguments[i + 1 :])


@pytest.mark.parametrize("name", every_call())
def test_one_tensor_on_another_device_is_an_error(name):
    arguments = every_call()[name]
    tensors = [i for i, x in enumerate(arguments) if isinstance(x, torch.Tensor)]
    for i in tensors if len(tensors) > 1 else ():
        moved = (*arguments[:i], arguments[i].to("meta"), *arguments[i + 1 :])
        with pytest.raises(ValueError, match="wanted the same device$"):
            getattr(operators, name)(*moved)


def test_ranks_and_dtypes_that_are_not_there(path):
    ranks = torch.ones(2, 4, 3, 2)
    with pytest.raises(ValueError, match="^rank is 2; wanted one of 0 ... 1"):
        operators.matching_contrastive_loss_gathered(ranks, None, 2, 0.5, NONE, 1e-10, 0)
    with pytest.raises((ValueError, TypeError), match="float64"):
        operators.match_slots(ranks[0].int(), 1e-10, 0)


def test_the_library_needs_the_stable_abi_alone():
    library = pathlib.Path(osc.__file__).with_name("libosc_torch.so")

    def run(*command):
        return subprocess.run(
            [*command, library], capture_output=True, text=True, check=True
        ).stdout

    symbols = run("nm", "-D", "--undefined", "--demangle").split("\n")
    names = [line.split(maxsplit=1)[1] for line in symbols if line]
    own = ("aoti_torch_", "torch_")
    foreign = [name for name in names if not name.startswith(own) and "osc::" not in name]
    assert any(name.startswith("aoti_torch_") for name in names)
    assert not [x for x in foreign if any(y in x for y in ("at::", "c10", "torch", "Py"))]
    dynamic = run("readelf", "-d")
    assert "[libosc.so]" in dynamic and "[libtorch_cpu.so]" in dynamic and "python" not in dynamic
    assert [line.split("[")[1] for line in dynamic.split("\n") if "PATH" in line] == ["$ORIGIN]"]
