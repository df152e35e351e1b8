"""The recipe's two training steps in plain eager PyTorch: what the C++ program is timed against.

The same networks, sizes, views and losses, written as one would in Python: `repeat` for several
starts, a loss a term, scipy for the matching, torch.optim.AdamW.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

SLOTS, CHANNELS, SIDE, STRIDE, ITERATIONS, STARTS = 4, 64, 36, 2, 5, 4
TOKENS = SIDE // STRIDE
CROP, WINDOW, TRUNK = 16, 28.0, 128


def grid(n, centre, step):
    u = ((torch.arange(n) * step + centre) / STRIDE) / (TOKENS - 1)
    y, x = torch.meshgrid(u, u, indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) - 0.5) * 6.6


TOKEN_POINTS = grid(TOKENS, 0, STRIDE)
PIXEL_POINTS = grid(SIDE, -0.5, 1)
PIXELS = torch.stack(
    torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")[::-1], -1
).reshape(-1, 2)


def normalise(x):
    return (x - 0.3) / 0.3


def random_views(x, crop):
    n = len(x)
    scale = torch.sqrt(crop + (1 - crop) * torch.rand(n))
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = scale
    theta[:, 1, 1] = scale
    theta[:, :, 2] = (torch.rand(n, 2) * 2 - 1) * (1 - scale)[:, None]
    y = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
    gain = (1 + (torch.rand(n, 3, 1, 1) * 2 - 1) * 0.25) * (
        1 + (torch.rand(n, 1, 1, 1) * 2 - 1) * 0.3
    )
    contrast = 1 + (torch.rand(n, 1, 1, 1) * 2 - 1) * 0.3
    mean = y.mean((1, 2, 3), keepdim=True)
    return (
        ((y - mean) * contrast + mean) * gain
        + (torch.rand(n, 1, 1, 1) * 2 - 1) * 0.1
        + torch.randn_like(y) * 0.04
    )


def squared_distance(points, explanation):
    return (
        (points * points).sum(-1)[:, None]
        - 2 * torch.bmm(explanation, points.transpose(1, 2))
        + (explanation * explanation).sum(-1, keepdim=True)
    )


def saliency(colour):
    return (colour - colour.median(1, keepdim=True)[0]).norm(dim=-1)


class SlotModel(nn.Module):
    def __init__(self):
        super().__init__()
        c = CHANNELS
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(32, c, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(c, c, 1),
        )
        self.before = nn.Parameter(torch.randn(TOKENS * TOKENS, c))
        self.after = nn.Parameter(torch.randn(TOKENS * TOKENS, c))
        self.norm_in, self.norm_slots, self.norm_update = (
            nn.LayerNorm(c),
            nn.LayerNorm(c),
            nn.LayerNorm(c),
        )
        self.key, self.value, self.query = (nn.Linear(c, c, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(c, c)
        self.update = nn.Sequential(nn.Linear(c, 2 * c), nn.ReLU(), nn.Linear(2 * c, c))
        self.mean = nn.Parameter(torch.randn(1, 1, c) * 0.1)
        self.log_deviation = nn.Parameter(torch.zeros(1, 1, c))
        self.decoder = nn.Sequential(nn.Linear(c, 64), nn.GELU(), nn.Linear(64, 5))

    def forward(self, x, starts=1):
        tokens = self.norm_in(self.stem(x).flatten(2).transpose(1, 2) + self.before) + self.after
        key = self.key(tokens).repeat(starts, 1, 1)
        value = self.value(tokens).repeat(starts, 1, 1)
        n = len(key)
        slots = self.mean + self.log_deviation.exp() * torch.randn(n, SLOTS, CHANNELS)
        for _ in range(ITERATIONS):
            attention = (
                torch.bmm(self.query(self.norm_slots(slots)), key.transpose(1, 2)) * CHANNELS**-0.5
            ).softmax(1)
            update = torch.bmm(attention / (attention.sum(-1, keepdim=True) + 1e-6), value)
            slots = self.gru(update.reshape(n * SLOTS, -1), slots.reshape(n * SLOTS, -1)).reshape(
                n, SLOTS, -1
            )
            slots = slots + self.update(self.norm_update(slots))
        return slots, attention

    @torch.no_grad()
    def find(self, x):
        n = len(x)
        slots, _ = self.forward(x, STARTS)
        explanation = self.decoder(slots).reshape(STARTS, n, SLOTS, 5)
        errors = []
        for start in range(STARTS):
            colour = x.flatten(2).transpose(1, 2)
            salient = ((saliency(colour) - 0.3) / 0.7).clamp(0, 1)
            position = squared_distance(
                PIXEL_POINTS[None].expand(n, -1, -1), explanation[start][..., 3:]
            )
            errors.append(
                squared_distance(colour, explanation[start][..., :3]) + position * salient[:, None]
            )
        error = torch.stack(errors)
        best = error.min(2)[0].mean(-1).argmin(0)
        return F.one_hot(error[best, torch.arange(n)].argmin(1), SLOTS).transpose(1, 2).float()


def explain_loss(x, explanation, attention):
    colour = F.adaptive_avg_pool2d(x, TOKENS).flatten(2).transpose(1, 2)
    salient = saliency(colour).clamp(0, 1)
    position = squared_distance(TOKEN_POINTS[None].expand(len(x), -1, -1), explanation[..., 3:])
    error = squared_distance(colour, explanation[..., :3]) + position * salient[:, None]
    return (attention * error).mean(-1).sum(1).mean() / 5


def object_crops(x, masks, mirrored=None):
    n = len(x)
    centroid = torch.einsum("nsp,pk->nsk", masks, PIXELS) / (masks.sum(-1, keepdim=True) + 1e-3)
    u = (torch.arange(CROP) + 0.5) / CROP * WINDOW - WINDOW / 2
    y, x_ = torch.meshgrid(u, u, indexing="ij")
    offsets = torch.stack([x_, y], -1).expand(n, 1, CROP, CROP, 2)
    if mirrored is not None:
        offsets = (
            offsets
            * torch.stack([torch.where(mirrored, -1.0, 1.0), torch.ones(n)], -1)[
                :, None, None, None
            ]
        )
    points = ((centroid[:, :, None, None] + offsets) / SIDE * 2 - 1).reshape(
        n * SLOTS, CROP, CROP, 2
    )
    region = masks.reshape(n, SLOTS, 1, SIDE, SIDE)
    layers = torch.cat(
        [region, (x - x.flatten(2).median(-1)[0][:, :, None, None])[:, None] * region], 2
    )
    return F.grid_sample(
        layers.reshape(n * SLOTS, 4, SIDE, SIDE), points, align_corners=False
    ), centroid / SIDE * 2 - 1


class ObjectEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(4, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (CROP // 4) ** 2, TRUNK),
        )
        self.what = nn.Sequential(nn.LayerNorm(TRUNK), nn.GELU(), nn.Linear(TRUNK, 64))
        self.own, self.other, self.offset, self.out = (
            nn.Linear(TRUNK, 64),
            nn.Linear(TRUNK, 64),
            nn.Linear(2, 64),
            nn.Linear(64, 64),
        )
        self.which = nn.Sequential(
            nn.LayerNorm(TRUNK + 66), nn.Linear(TRUNK + 66, 128), nn.GELU(), nn.Linear(128, 64)
        )

    def forward(self, x, masks, mirrored):
        n = len(x)
        crops, place = object_crops(x, masks)
        h = self.trunk(crops).reshape(n, SLOTS, TRUNK)
        upright = self.trunk(object_crops(x, masks, mirrored)[0]).reshape(n, SLOTS, TRUNK)
        place = 2 * place
        pairs = F.relu(
            self.own(h)[:, :, None]
            + self.other(h)[:, None]
            + self.offset(place[:, None] - place[:, :, None])
        )
        return self.what(upright), self.which(torch.cat([h, place, self.out(pairs.sum(2))], -1))


def matching_contrastive_loss(slots, temperature=0.1):
    unit = F.normalize(slots, dim=-1)
    b = len(slots) // 2
    cosines = torch.einsum("bsc,btc->bst", unit[:b].detach(), unit[b:].detach()).numpy()
    matched = torch.empty(2 * b, SLOTS, dtype=torch.int64)
    for i in range(b):
        column = torch.from_numpy(linear_sum_assignment(cosines[i], maximize=True)[1])
        matched[i] = column
        matched[i + b] = column.argsort()
    flat = unit.reshape(2 * b * SLOTS, -1)
    logits = (flat @ flat.T / temperature).masked_fill(torch.eye(len(flat), dtype=torch.bool), -1e9)
    target = ((torch.arange(2 * b) + b) % (2 * b))[:, None] * SLOTS + matched
    return F.cross_entropy(logits, target.reshape(-1))


class Steps:
    """Both stages on the same images; each call of a stage is one training step."""

    def __init__(self, images, batch):
        self.images, self.batch = images, batch
        self.slots, self.embedding = SlotModel(), ObjectEmbedding()
        self.optimizers = [
            torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=1e-4)
            for m in (self.slots, self.embedding)
        ]

    def random_images(self, stage):
        return self.images[torch.randint(0, len(self.images), (self.batch[stage],))].float() / 255

    def update(self, stage, model, loss):
        self.optimizers[stage].zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimizers[stage].step()
        return float(loss.detach())

    def stage1(self):
        x = self.random_images(0)
        x = normalise(torch.cat([random_views(x, 0.85), random_views(x, 0.85)]))
        slots, attention = self.slots(x)
        return self.update(0, self.slots, explain_loss(x, self.slots.decoder(slots), attention))

    def stage2(self):
        x = self.random_images(1)
        views, mirrors = [], []
        for _ in range(2):
            mirrored = torch.rand(len(x)) < 0.5
            views.append(
                random_views(torch.where(mirrored[:, None, None, None], x.flip(-1), x), 0.6)
            )
            mirrors.append(mirrored)
        x = normalise(torch.cat(views))
        what, which = self.embedding(x, self.slots.find(x), torch.cat(mirrors))
        return self.update(
            1, self.embedding, matching_contrastive_loss(what) + matching_contrastive_loss(which)
        )
