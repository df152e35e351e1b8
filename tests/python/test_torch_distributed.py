"""DistributedDataParallel on two processes: the mean over ranks is the loss of one process, and so is the gradient."""

import datetime
import socket

import pytest
import torch
from torch import distributed

from osc.loss_objects import matching_similarity_loss_per_img


def batch():
    torch.manual_seed(0)
    slots = torch.randn(2, 6, 4, 5, dtype=torch.float64)  # [views, images, slots, channels]
    head = torch.nn.Linear(5, 5).double()
    return slots, head


def train_step(rank, port, results):
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
    torch.set_num_threads(1)
    slots, head = batch()
    model = torch.nn.parallel.DistributedDataParallel(head)
    own = slots[:, 3 * rank : 3 * rank + 3].flatten(0, 1)
    loss = matching_similarity_loss_per_img(own, model(own))
    loss.backward()
    results.put((rank, loss.item(), [parameter.grad.tolist() for parameter in head.parameters()]))
    distributed.destroy_process_group()


@pytest.mark.skipif(not (distributed.is_available() and distributed.is_gloo_available()), reason="needs Gloo")
def test_two_processes():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=train_step, args=(rank, port, results), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    try:
        got = sorted(results.get(timeout=120) for _ in processes)
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
    slots, head = batch()
    loss = matching_similarity_loss_per_img(slots.flatten(0, 1), head(slots.flatten(0, 1)))
    loss.backward()
    assert (got[0][1] + got[1][1]) / 2 == pytest.approx(loss.item(), rel=1e-12)
    for rank, _, gradients in got:
        for gradient, parameter in zip(gradients, head.parameters()):
            torch.testing.assert_close(torch.tensor(gradient, dtype=torch.float64), parameter.grad)
