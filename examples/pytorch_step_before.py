"""Some steps of training in PyTorch. pytorch_step_before.py and pytorch_step_after.py differ in the
import of the loss."""

import torch
from plain_loss import matching_similarity_loss_per_img

torch.manual_seed(0)
images, slots, channels = 16, 7, 32
encoder = torch.nn.Linear(3 * channels, channels)
head = torch.nn.Sequential(
    torch.nn.Linear(channels, channels), torch.nn.ReLU(), torch.nn.Linear(channels, channels)
)
optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=1.0, momentum=0.9)
objects = torch.randn(images, slots, 3 * channels)

for step in range(5):
    views = torch.stack([objects, objects[:, torch.randperm(slots)]]) + 0.5 * torch.randn(
        2, images, slots, 3 * channels
    )
    f = encoder(views.flatten(0, 1))
    loss = matching_similarity_loss_per_img(f, head(f))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.5f}")
