"""osc.linear_sum_assignment and osc.match_slots on PyTorch tensors, against the same on NumPy
arrays, which are tested against SciPy."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment as scipy_assignment
from torch.library import opcheck

import osc
from osc import _torch


def integers(*shape, seed=0):
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int32,
        torch.uint8,
        torch.bool,
    ],
)
def test_indices_equal_scipys(dtype, maximize):
    for number, shape in enumerate([(1, 1), (4, 6), (6, 4), (5, 5), (30, 30), (3, 2, 4, 6)]):
        cost = integers(*shape, seed=number).abs().to(dtype)
        col4row, row4col = osc.linear_sum_assignment(cost, maximize)
        assert (
            col4row.shape == shape[:-1]
            and row4col.shape == (*shape[:-2], shape[-1])
            and col4row.dtype == row4col.dtype == torch.int64
        )
        for index in np.ndindex(*shape[:-2]):
            rows, columns = scipy_assignment(cost[index].double().numpy(), maximize)
            assert torch.equal(col4row[index][rows], torch.from_numpy(columns)) and torch.equal(
                row4col[index][columns], torch.from_numpy(rows)
            )
            assert (col4row[index] == -1).sum() == max(0, shape[-2] - shape[-1]) and (
                row4col[index] == -1
            ).sum() == max(0, shape[-1] - shape[-2])


def test_layouts():
    cost = integers(3, 2, 4, 6)
    want = osc.linear_sum_assignment(cost)
    for layout in (
        cost.transpose(2, 3).contiguous().transpose(2, 3),
        cost.transpose(0, 1).contiguous().transpose(0, 1),
        cost.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0),
        torch.cat([cost, cost], 3)[..., :6],
        cost.repeat_interleave(2, 1)[:, ::2],
        torch._neg_view(-cost),
        cost.clone().requires_grad_(),
    ):
        assert all(torch.equal(a, b) for a, b in zip(osc.linear_sum_assignment(layout), want))
    repeated = osc.linear_sum_assignment(cost[:1, :1].expand(5, 7, 4, 6))
    assert all(torch.equal(a, b[0, 0].expand(5, 7, -1)) for a, b in zip(repeated, want))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0, 3), (0, 2, 3), (0, 5, 0)])
def test_empty(shape):
    col4row, row4col = osc.linear_sum_assignment(torch.zeros(shape))
    assert col4row.shape == shape[:-1] and row4col.shape == (*shape[:-2], shape[-1])
    assert (col4row == -1).all() and (row4col == -1).all()


def test_a_problem_without_an_answer_is_named_and_leaves_the_others_alone():
    cost = torch.eye(2).repeat(2, 2, 1, 1)
    cost[1, 0, 1, 1] = float("nan")
    with pytest.raises(ValueError, match="cost: problem 2 of 4 has no answer: a cost is NaN"):
        osc.linear_sum_assignment(cost)
    assert osc.linear_sum_assignment(cost, on_unsolvable="unmatched")[0].tolist() == [
        [[1, 0], [1, 0]],
        [[-1, -1], [1, 0]],
    ]


def test_bad_input():
    with pytest.raises(TypeError, match="complex64"):
        osc.linear_sum_assignment(torch.ones(2, 2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="sparse"):
        osc.linear_sum_assignment(torch.eye(2).to_sparse())
    with pytest.raises(ValueError, match=r"cost has shape \[3\]"):
        osc.linear_sum_assignment(torch.ones(3))
    with pytest.raises(ValueError, match="on_unsolvable"):
        osc.linear_sum_assignment(torch.eye(2), on_unsolvable="ignore")
    with pytest.raises(TypeError, match="torch.int64"):
        osc.match_slots(torch.ones(2, 2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"f has shape \[3, 2, 2\]"):
        osc.match_slots(torch.ones(3, 2, 2))
    with pytest.raises(ValueError, match="eps"):
        osc.match_slots(torch.ones(2, 2, 2), eps=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_match_slots_equals_that_of_numpy(dtype):
    f = torch.randn(10, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )
    f[3, 1, 2] = float("inf")
    for layout in (
        f,
        f.transpose(0, 1).contiguous().transpose(0, 1),
        f.transpose(1, 2).contiguous().transpose(1, 2),
    ):
        matching = osc.match_slots(layout)
        assert matching.dtype == torch.int64 and np.array_equal(
            matching.numpy(), osc.match_slots(f.numpy())
        )
    with pytest.raises(ValueError, match="^f: image 3 of 5"):
        osc.match_slots(f, on_nonfinite="raise")
    assert torch.equal(osc.match_slots(f.bfloat16()), osc.match_slots(f.bfloat16().float()))


def test_large_problems_and_small_ones():
    # the first takes memory of its own, the second finds what its thread keeps
    for size in (700, 2):
        cost = torch.rand(2, size, size, generator=torch.Generator().manual_seed(size))
        assert np.array_equal(
            osc.linear_sum_assignment(cost)[0][1], scipy_assignment(cost[1].double().numpy())[1]
        )


class Solver(torch.nn.Module):
    def forward(self, cost):
        return osc.linear_sum_assignment(cost)


def exported(cost):
    return torch.export.export(Solver(), (cost,)).module()(cost)


def compiled(cost):
    torch._dynamo.reset()
    return torch.compile(Solver(), fullgraph=True, backend="aot_eager")(cost)


def batched(cost):
    return tuple(x[0] for x in torch.vmap(osc.linear_sum_assignment)(cost.unsqueeze(0)))


def operator(cost):
    return torch.ops.osc.linear_sum_assignment(cost, False, 0)


def on_another_device(cost):
    return _torch._linear_sum_assignment(cost, False, 0)


WAYS = [osc.linear_sum_assignment, operator, compiled, exported, batched, on_another_device]
INTEGERS = [
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_costs_everywhere(way, dtype):
    cost = integers(2, 3, 4).abs().to(dtype)
    for layout in (cost, cost.transpose(0, 2).contiguous().transpose(0, 2)):
        for problem, columns in zip(cost, way(layout)[0], strict=True):
            assert columns.tolist() == scipy_assignment(problem.double().numpy())[1].tolist()


@pytest.mark.parametrize("way", WAYS)
def test_integers_that_float64_would_round_are_an_error_everywhere(way):
    exact = torch.tensor([[2**53, 0], [-(2**53), 1]])
    assert way(exact)[0].tolist() == [1, 0]
    for cost in (
        torch.tensor([[2**53 + 1, 2**53], [2**53, 2**53 + 1]]),
        torch.tensor([[0, 1], [-(2**53) - 1, 0]]),
        torch.tensor([[0, 1], [-(2**63), 0]]),
        torch.tensor([[0, 2**53 + 1], [0, 1]]).T,
        torch.tensor([[0, 2**64 - 1], [0, 0]], dtype=torch.uint64),
        torch.tensor([[0, 2**53 + 1], [0, 0]], dtype=torch.uint64),
    ):
        with pytest.raises(ValueError, match=r"cost holds integers beyond ±2\^53"):
            way(cost)


def test_integers_without_their_values():
    cost = integers(5, 3, 4).long()
    with torch._subclasses.FakeTensorMode() as mode:
        fake = osc.linear_sum_assignment(mode.from_tensor(cost))
    for got in (fake, osc.linear_sum_assignment(cost.to("meta"))):
        assert [(x.shape, x.dtype) for x in got] == [
            ((5, 3), torch.int64),
            ((5, 4), torch.int64),
        ]
    opcheck(torch.ops.osc.linear_sum_assignment, (cost, False, 0))


def test_complex_costs_are_an_error_of_the_operator_too():
    cost = torch.ones(2, 2, dtype=torch.complex64)
    with pytest.raises(ValueError, match="cost is complex; wanted real numbers"):
        operator(cost)
    with pytest.raises(TypeError, match="cost is torch.complex64; wanted real numbers"):
        operator(cost.to("meta"))


def test_an_empty_batch_under_vmap():
    empty = torch.zeros(0, 4, 3, 8)
    assert torch.vmap(osc.match_slots)(empty).shape == (0, 2, 3)
    assert torch.vmap(osc.loss_objects.matching_similarity_loss_per_img)(empty, empty).shape == (0,)


def test_maximize_is_a_boolean():
    with pytest.raises(TypeError, match="maximize is 'False'"):
        osc.linear_sum_assignment(torch.eye(2), "False")
