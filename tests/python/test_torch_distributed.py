"""Two processes: the mean over ranks is the loss of one process, and so is the gradient, with
DistributedDataParallel and without; and ranks that differ are errors on both."""

import datetime
import socket
import warnings

import pytest
import torch
from torch import distributed

from osc.loss_global import contrastive_loss
from osc.loss_objects import matching_contrastive_loss, matching_similarity_loss_per_img

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="needs Gloo"
)


def on_two_processes(work):
    """What ``work(rank)`` returned on each rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=run, args=(work, rank, port, results), daemon=True)
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    try:
        got = sorted((results.get(timeout=120) for _ in processes), key=lambda result: result[0])
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
    return [result for _, result in got]


def run(work, rank, port, results):
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    torch.set_num_threads(1)
    # A deprecated function that we call is an error. PyTorch's own warnings at its exit are not.
    warnings.simplefilter("error", FutureWarning)
    results.put((rank, work(rank)))
    distributed.destroy_process_group()


def batch(dtype=torch.float64):
    torch.manual_seed(0)
    slots = torch.randn(2, 6, 4, 5, dtype=torch.float64)  # [views, images, slots, channels]
    return slots.to(dtype), torch.nn.Linear(5, 5).double().to(dtype)


LOSSES = {
    "similarity": lambda f, p, group: matching_similarity_loss_per_img(f, p),
    "contrastive": lambda f, p, group: matching_contrastive_loss(p, 0.3, group=group),
    "sum": lambda f, p, group: matching_contrastive_loss(p, 0.3, "sum", group=group),
    # with a grad_output for each slot
    "none": lambda f, p, group: (
        matching_contrastive_loss(p, 0.3, "none", group=group).square().mean()
    ),
    "SimCLR": lambda f, p, group: contrastive_loss(p[:, 0], 0.3, group=group)[0],
}


def train_steps(rank):
    steps = {}
    group = distributed.group.WORLD
    for name, loss_of in LOSSES.items():
        for parallel in (True, False):
            slots, head = batch()
            model = torch.nn.parallel.DistributedDataParallel(head) if parallel else head
            own = slots[:, 3 * rank : 3 * rank + 3].flatten(0, 1)
            loss = loss_of(own, model(own), group)
            loss.backward()
            if not parallel:
                for parameter in head.parameters():
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= 2
            steps[name, parallel] = (
                loss.item(),
                [parameter.grad.tolist() for parameter in head.parameters()],
            )
    return steps


def narrow_types_and_layouts(rank):
    results = {}
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        slots, _ = batch(dtype)
        own = (
            slots[:, 3 * rank : 3 * rank + 3]
            .transpose(2, 3)
            .contiguous()
            .transpose(2, 3)
            .flatten(0, 1)
            .requires_grad_()
        )
        loss, accuracy = (
            matching_contrastive_loss(own, 0.3, group=distributed.group.WORLD),
            contrastive_loss(own[:, 0], group=distributed.group.WORLD)[1],
        )
        loss.backward()
        with torch.autocast("cpu", torch.bfloat16):
            autocast = matching_contrastive_loss(own, 0.3, group=distributed.group.WORLD)
        results[str(dtype)] = (
            float(loss),
            own.grad.dtype == dtype,
            own.grad.float().tolist(),
            float(accuracy),
            str(autocast.dtype),
        )
    alone = [distributed.new_group([other]) for other in range(2)][rank]
    own = slots[:, :3].flatten(0, 1).float()
    results["alone"] = torch.equal(
        matching_contrastive_loss(own, 0.3, "none", group=alone),
        matching_contrastive_loss(own, 0.3, "none"),
    )
    compiled = torch.compile(
        lambda x: matching_contrastive_loss(2 * x, 0.3, group=distributed.group.WORLD) + 1,
        backend="eager",
    )
    results["compiled"] = torch.allclose(
        compiled(own), matching_contrastive_loss(own, 0.3, group=distributed.group.WORLD) + 1
    )
    return results


def without_gradients_on_rank_0(rank, slots):
    with torch.set_grad_enabled(rank == 1):
        contrastive_loss(slots[:, 0].clone().requires_grad_(), group=distributed.group.WORLD)


def errors(rank):
    slots = batch()[0].flatten(0, 1)
    group = distributed.group.WORLD
    nonfinite = slots.clone()
    nonfinite[0, 0, 0] = float("nan")
    texts = []
    for call in (
        lambda: matching_contrastive_loss(slots[: 8 + 2 * rank], group=group),
        lambda: matching_contrastive_loss(slots.float() if rank else slots, group=group),
        lambda: matching_contrastive_loss(slots, 0.5 + rank, group=group),
        lambda: matching_contrastive_loss(slots, reduction=("sum", "mean")[rank], group=group),
        # rank 1 has an odd number of rows
        lambda: matching_contrastive_loss(slots[: 12 - rank], group=group),
        lambda: matching_contrastive_loss([slots] if rank else slots, group=group),
        lambda: contrastive_loss(slots if rank else slots[:, 0], group=group),
        lambda: matching_contrastive_loss(
            nonfinite if rank else slots, on_nonfinite="raise", group=group
        ),
        lambda: matching_contrastive_loss(
            slots, on_nonfinite=("propagate", "raise")[rank], group=group
        ),
        lambda: matching_contrastive_loss(slots.clone().requires_grad_(rank == 1), group=group),
        lambda: without_gradients_on_rank_0(rank, slots),
        lambda: torch.autograd.grad(
            torch.autograd.grad(
                matching_contrastive_loss(slots.requires_grad_(), group=group),
                slots,
                create_graph=True,
            )[0].sum(),
            slots,
        ),
    ):
        try:
            call()
            texts.append("none")
        except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            texts.append(f"{type(error).__name__}: {error}")
    return texts


def test_two_processes_are_one():
    got = on_two_processes(train_steps)
    for name, loss_of in LOSSES.items():
        slots, head = batch()
        loss = loss_of(slots.flatten(0, 1), head(slots.flatten(0, 1)), None)
        loss.backward()
        scale = 2 if name == "sum" else 1  # the sum over ranks is that of the joined batch
        for parallel in (True, False):
            assert sum(steps[name, parallel][0] for steps in got) / 2 * scale == pytest.approx(
                loss.item(), rel=1e-12
            )
            for steps in got:
                for gradient, parameter in zip(steps[name, parallel][1], head.parameters()):
                    torch.testing.assert_close(
                        torch.tensor(gradient, dtype=torch.float64) * scale, parameter.grad
                    )


def test_narrow_types_layouts_a_group_of_one_and_the_compiler():
    got = on_two_processes(narrow_types_and_layouts)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        slots = batch(dtype)[0].flatten(0, 1).requires_grad_()
        loss = matching_contrastive_loss(slots, 0.3)
        loss.backward()
        losses, has_dtype, gradients, accuracies, autocast = zip(
            *(results[str(dtype)] for results in got)
        )
        assert all(has_dtype) and autocast == ("torch.float32",) * 2
        assert sum(losses) / 2 == pytest.approx(loss.item(), rel=tolerance)
        joined = torch.stack(
            [torch.tensor(gradient).view(2, 3, 4, 5) for gradient in gradients], 1
        ).view(12, 4, 5)
        torch.testing.assert_close(
            joined / 2, slots.grad.float(), rtol=10 * tolerance, atol=tolerance
        )
        assert sum(accuracies) / 2 == pytest.approx(float(contrastive_loss(slots[:, 0])[1]))
    assert all(results["alone"] and results["compiled"] for results in got)


def test_ranks_that_differ_are_an_error_on_both():
    first, second = on_two_processes(errors)
    for texts in (first, second):
        for text, wanted in zip(
            texts, ("slots [8, 4, 5]", "torch.float32", "temperature 1.5", "reduction 'sum'")
        ):
            assert (
                text.startswith("ValueError: rank ")
                and wanted in text
                and "wanted the same shape, dtype and options on all ranks" in text
            )
        assert "on_nonfinite 'propagate'" in texts[8] and "on_nonfinite 'raise'" in texts[8]
        # in backward, rank 1 would have waited for rank 0
        for text in texts[9:11]:
            assert text.startswith("ValueError: rank ")
            assert "wants a gradient" in text and "wants no gradient" in text
            assert "and a gradient on all or on none" in text
        assert texts[7].startswith("ValueError: slots: image 0 of 6 holds a NaN")
        assert texts[11].startswith(
            "NotImplementedError: the contrastive loss of a group has no second derivative"
        )
    assert (
        "rank 1 of the group refused its input" in first[4]
        and "slots has shape [11, 4, 5]" in second[4]
    )
    assert (
        "rank 1 of the group refused its input" in first[5]
        and "TypeError: slots is list" in second[5]
    )
    assert (
        "rank 1 of the group refused its input" in first[6]
        and "projs has shape [12, 4, 5]" in second[6]
    )
