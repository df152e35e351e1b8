"""osc.linear_sum_assignment against scipy, whose indices it promises, and osc.match_slots."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment as scipy_assignment

import osc


@pytest.fixture(params=["x86-64", "avx2", "avx512", "neon", "generic"])
def each_instruction_set(request):
    try:
        osc.set_instruction_set(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    assert osc.instruction_set() == request.param
    yield
    osc.set_instruction_set("")


def expected(cost, maximize):
    """scipy's answer in our form, or None where it has none."""
    try:
        rows, columns = scipy_assignment(cost, maximize)
    except ValueError:
        return None
    col4row, row4col = np.full(cost.shape[0], -1), np.full(cost.shape[1], -1)
    col4row[rows], row4col[columns] = columns, rows
    return col4row, row4col


def gaussian(rng, shape):
    return rng.standard_normal(shape)


def two_values(rng, shape):
    return rng.integers(0, 2, shape)


def few_values(rng, shape):
    return rng.integers(-2, 3, shape)


def eighths(rng, shape):
    return rng.integers(0, 9, shape) / 8


def tenths(rng, shape):  # sums of these round, so that some ties are broken by the last bit
    return rng.integers(0, 9, shape) / 10


def constant(rng, shape):
    return np.full(shape, rng.standard_normal())


def product_of_ranks(rng, shape):  # hard for augmenting paths: every row wants the same columns
    return np.outer(np.arange(1, shape[0] + 1), np.arange(1, shape[1] + 1))


def forbidden(rng, shape):
    return np.where(rng.random(shape) < 0.3, np.inf, rng.integers(0, 4, shape))


def cosines(rng, shape):
    slots = rng.standard_normal((2, max(shape), 8))
    slots[1] = slots[0][rng.permutation(max(shape))] + 0.5 * slots[1]
    slots /= np.linalg.norm(slots, axis=-1, keepdims=True)
    return (slots[0] @ slots[1].T)[: shape[0], : shape[1]]


def overlaps(rng, shape):  # 1 - intersection over union of boxes on a line, mostly exactly 1
    start = rng.uniform(0, 20, sum(shape))
    end = start + rng.uniform(0.5, 2, sum(shape))
    low = np.maximum.outer(start[: shape[0]], start[shape[0] :])
    both = np.clip(np.minimum.outer(end[: shape[0]], end[shape[0] :]) - low, 0, None)
    lengths = np.add.outer((end - start)[: shape[0]], (end - start)[shape[0] :])
    return 1 - both / (lengths - both)


def duplicated_rows(rng, shape):
    return rng.random(shape)[rng.integers(0, shape[0] // 3 + 1, shape[0])]


def duplicated_columns(rng, shape):
    return rng.random(shape)[:, rng.integers(0, shape[1] // 3 + 1, shape[1])]


def few_zeros(rng, shape):
    return (rng.random(shape) > 2 / shape[1]).astype(float)


def blocks(rng, shape):
    return np.not_equal.outer(*(np.arange(side) * 4 // side for side in shape)).astype(float)


def sums(rng, shape):  # every assignment of all rows and columns costs the same
    return np.add.outer(rng.integers(0, 20, shape[0]), rng.integers(0, 20, shape[1]))


def rounded_sums(rng, shape):  # every assignment costs the same, up to rounding
    return np.add.outer(rng.random(shape[0]), rng.random(shape[1]))


def lesser_index(rng, shape):
    return np.minimum.outer(*map(np.arange, shape))


def differences(rng, shape):
    return np.abs(np.subtract.outer(*(rng.integers(0, 30, side) for side in shape)))


def mostly_forbidden(rng, shape):
    cost = np.where(rng.random(shape) < 4 / shape[1], rng.integers(0, 3, shape), np.inf)
    np.fill_diagonal(cost, 1)
    return cost


def negative_tenths(rng, shape):  # rounding raises duals of columns above 0
    return -tenths(rng, shape)


FULL_OF_TIES = [
    two_values,
    few_values,
    tenths,
    negative_tenths,
    constant,
    forbidden,
    overlaps,
    duplicated_rows,
    duplicated_columns,
    few_zeros,
    blocks,
    sums,
    rounded_sums,
    lesser_index,
    differences,
    mostly_forbidden,
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", FULL_OF_TIES)
def test_ties_fall_as_in_scipy_at_every_size(make, dtype, each_instruction_set):
    rng = np.random.default_rng(8)
    shapes = [*rng.integers(1, 30, (40, 2)), (50, 60), (64, 65), (70, 300), (300, 70), (150, 150)]
    for number, shape in enumerate(shapes):
        maximize = bool(number % 2)
        cost = make(rng, tuple(shape)).astype(dtype) * (-1 if maximize else 1)
        cost = np.asfortranarray(cost) if number % 3 == 0 else cost
        want = expected(cost.astype(np.float64), maximize)
        got = osc.linear_sum_assignment(cost, maximize, on_unsolvable="unmatched")
        if want is None:
            want = np.full(shape[0], -1), np.full(shape[1], -1)
        for name, a, b in zip(("col4row", "row4col"), got, want):
            np.testing.assert_array_equal(a, b, err_msg=f"{name} of case {number}, {shape}")


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        gaussian,
        two_values,
        few_values,
        eighths,
        tenths,
        constant,
        product_of_ranks,
        forbidden,
        cosines,
    ],
)
def test_indices_equal_scipys(make, maximize, each_instruction_set):
    rng = np.random.default_rng(len(make.__name__) + maximize)
    shapes = list(itertools.product(range(1, 9), repeat=2)) * 5 + [
        (30, 30),
        (17, 40),
        (40, 17),
        (64, 64),
        (100, 100),
    ]
    for number, shape in enumerate(shapes):
        cost = make(rng, shape)
        cost = -cost if maximize and make is forbidden else cost
        want = expected(cost, maximize)
        got = osc.linear_sum_assignment(cost, maximize, on_unsolvable="unmatched")
        if want is None:
            want = np.full(shape[0], -1), np.full(shape[1], -1)
            with pytest.raises(ValueError, match="cost: problem 0 of 1 has no answer"):
                osc.linear_sum_assignment(cost, maximize)
        for name, a, b in zip(("col4row", "row4col"), got, want):
            np.testing.assert_array_equal(a, b, err_msg=f"{name} of case {number}:\n{cost}")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_costs_give_what_scipy_gives(dtype, each_instruction_set):
    rng = np.random.default_rng(3)
    for number in range(400):
        rows, columns = rng.integers(1, 12 if number % 20 else 140, 2)
        cost = rng.standard_normal((rows, rows if number % 3 else columns)).astype(dtype)
        if number % 4 == 0:
            cost[rng.integers(0, rows)] = cost[0]  # a tie
        cost = np.asfortranarray(cost) if number % 5 == 0 else cost
        maximize = bool(number % 2)
        got, want = (
            osc.linear_sum_assignment(cost, maximize)[0],
            expected(cost.astype(np.float64), maximize)[0],
        )
        np.testing.assert_array_equal(got, want, err_msg=f"case {number}")


def test_an_unknown_instruction_set_changes_nothing():
    before = osc.instruction_set()
    with pytest.raises(ValueError, match='instruction set is "sse9"'):
        osc.set_instruction_set("sse9")
    assert osc.instruction_set() == before


def test_batches_layouts_and_dtypes():
    rng = np.random.default_rng(4)
    cost = rng.integers(0, 5, (3, 2, 4, 6)).astype(np.float64)
    col4row, row4col = osc.linear_sum_assignment(cost)
    assert (
        col4row.shape == (3, 2, 4)
        and row4col.shape == (3, 2, 6)
        and col4row.dtype == row4col.dtype == np.int64
    )
    for i, j in np.ndindex(3, 2):
        np.testing.assert_array_equal(col4row[i, j], expected(cost[i, j], False)[0])
    unaligned = (
        np.frombuffer(b"x" + cost.tobytes(), np.uint8)[1:].view(np.float64).reshape(cost.shape)
    )
    in_a_record = np.zeros(cost.shape, [("tag", "u1"), ("cost", "f8")])
    in_a_record["cost"] = cost
    same = [
        np.asfortranarray(cost),
        cost[::-1, :, ::-1][::-1, :, ::-1],
        cost.astype(np.float32),
        cost.astype(np.float16),
        cost.astype(">f8"),
        cost.astype(np.int8),
        cost.astype(np.uint64),
        cost.astype(object),
        cost.tolist(),
        unaligned,
        in_a_record["cost"],
    ]
    for number, layout in enumerate(same):
        np.testing.assert_array_equal(
            osc.linear_sum_assignment(layout)[0], col4row, err_msg=str(number)
        )
    np.testing.assert_array_equal(
        osc.linear_sum_assignment(np.broadcast_to(cost[0, 0], (5, 4, 6)))[0],
        np.tile(col4row[0, 0], (5, 1)),
    )
    np.testing.assert_array_equal(
        osc.linear_sum_assignment(cost.swapaxes(2, 3))[1].shape, (3, 2, 4)
    )
    np.testing.assert_array_equal(
        osc.linear_sum_assignment([[True, False], [False, True]])[0], [1, 0]
    )


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0, 3), (0, 2, 3), (0, 5, 0)])
def test_empty(shape):
    col4row, row4col = osc.linear_sum_assignment(np.zeros(shape))
    assert col4row.shape == shape[:-1] and row4col.shape == (*shape[:-2], shape[-1])
    assert (col4row == -1).all() and (row4col == -1).all()


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_problem_without_an_answer_is_named_and_leaves_the_others_alone(bad):
    cost = np.tile(np.eye(2), (2, 2, 1, 1))
    cost[1, 0, 1, 1] = bad
    with pytest.raises(
        ValueError, match=r"cost: problem 2 of 4 has no answer: a cost is (NaN|-inf)"
    ):
        osc.linear_sum_assignment(cost)
    np.testing.assert_array_equal(
        osc.linear_sum_assignment(cost, on_unsolvable="unmatched")[0],
        [[[1, 0], [1, 0]], [[-1, -1], [1, 0]]],
    )


@pytest.mark.parametrize(
    "cost",
    [[["a", "b"]], np.zeros((2, 2), complex), np.zeros((2, 2), "datetime64[s]"), [[object()]]],
)
def test_what_is_no_real_number_is_a_type_error(cost):
    with pytest.raises(TypeError):
        osc.linear_sum_assignment(cost)


def test_integers_that_float64_would_round_are_an_error():
    for exact in (
        np.array([[2**53, 1], [0, -(2**53)]]),
        [[2**53, 0.5], [0, -(2**53)]],
        [[2.0**60, 1], [0, -(2.0**60)]],  # floats are taken as they are
        [[np.inf, 1], [0, -(2**53)]],
        np.array([[2.0**60, 1], [0, -(2.0**60)]], object),
    ):
        np.testing.assert_array_equal(
            osc.linear_sum_assignment(exact, on_unsolvable="unmatched")[0],
            expected(np.asarray(exact, np.float64), False)[0],
        )
    for cost in (
        np.array([[2**53 + 1, 0], [0, 0]]),
        np.array([[0, -(2**53) - 1], [0, 0]]),
        np.array([[2**64 - 1]], np.uint64),
        np.array([[2**53 + 1, 0.5]], object),
        np.array([[2**2000, 0.5]], object),
        [[2**60, 0], [0, 0]],
        # NumPy converts these lists to floats
        [[2**53 + 1, 0.5], [0, 0]],
        ([0.5, np.inf], (-(2**53) - 1, 0)),
        [[2**64 - 1, -1]],
        [[np.int64(2**53 + 1), np.float32(1)]],
        [[np.longdouble(1), 2**53 + 1]],
        [np.array([2**53 + 1, 0]), np.array([0.5, 1])],
        [[2**2000, 0.5]],
        [[np.uint64(2**63), np.int64(-1)]],
    ):
        with pytest.raises(ValueError, match=r"cost holds integers beyond ±2\^53"):
            osc.linear_sum_assignment(cost)


def test_bad_shapes_and_options():
    with pytest.raises(ValueError, match=r"cost has shape \[3\]; wanted \[..., R, K\]"):
        osc.linear_sum_assignment([1, 2, 3])
    with pytest.raises(ValueError, match="on_unsolvable"):
        osc.linear_sum_assignment(np.eye(2), on_unsolvable="ignore")


def test_match_slots_equals_scipy_on_the_cosines():
    rng = np.random.default_rng(5)
    for slots, channels in itertools.product((1, 2, 5, 11), (1, 8, 33)):
        f = rng.standard_normal((2 * 4, slots, channels))
        unit = f / np.linalg.norm(f, axis=-1, keepdims=True)
        matching = osc.match_slots(f)
        assert matching.dtype == np.int64
        for image in range(4):
            similarity = unit[image] @ unit[image + 4].T
            best = similarity[scipy_assignment(similarity, True)].sum()
            assert similarity[np.arange(slots), matching[image]].sum() == pytest.approx(
                best, abs=1e-12
            )
            assert sorted(matching[image]) == list(range(slots))


def test_match_slots_non_finite_and_bad_input():
    f = np.random.default_rng(6).standard_normal((4, 3, 2)).astype(np.float32)
    f[3, 1, 0] = np.inf
    assert (osc.match_slots(f)[1] == -1).all() and (osc.match_slots(f)[0] >= 0).all()
    with pytest.raises(ValueError, match="image 1 of 2"):
        osc.match_slots(f, on_nonfinite="raise")
    with pytest.raises(ValueError, match=r"f has shape \[3, 3, 2\]"):
        osc.match_slots(f[:3])
    with pytest.raises(TypeError, match="int64"):
        osc.match_slots(np.zeros((2, 2, 2), np.int64))
    with pytest.raises(ValueError, match="eps"):
        osc.match_slots(f, eps=0)
