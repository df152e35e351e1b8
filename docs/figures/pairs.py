"""Draws docs/images/pairs_*.svg: which pairs each loss compares.

    .venv/bin/python docs/figures/pairs.py

Slots are drawn for a batch of B = 4 images with S = 3 slots in each of two views, in the order
(view, image, slot). A row is the slot that has the loss, a column the slot that it is compared
with. tests/python/test_figures.py checks the kind of every pair against the derivatives of the
losses.
"""

import pathlib

IMAGES = pathlib.Path(__file__).resolve().parents[1] / "images"
B, S = 4, 3
MATCHING = [[2, 1, 0], [1, 0, 2], [2, 0, 1], [0, 1, 2]]  # slot s of view 0 with MATCHING[i][s]

# The crops of an image for the loss of small crops: the slot of the large crop that each slot of
# the small one counts with, or None. One large crop of four slots, two small crops of three.
LARGE_SLOTS = 4
CROP_MATCHING = [[1, 3, None], [0, None, 2]]

POSITIVE, CANDIDATE, MASKED, MATCHED = "positive", "candidate", "masked", "matched"
FILL = {
    POSITIVE: "#e8590c",
    CANDIDATE: "#a5c8ec",
    MASKED: "#ced4da",
    MATCHED: "#fde3cf",
    "variance": "#e8590c",
    "covariance": "#a5c8ec",
    None: "#ffffff",
}
CELL, SMALL_GAP, LARGE_GAP, MARGIN, TOP = 15, 3, 12, 98, 62


def place(index, slots):
    """(view, image, slot) of a row or a column."""
    return index // (B * slots), index // slots % B, index % slots


def partner(view, image, slot):
    return MATCHING[image][slot] if view == 0 else MATCHING[image].index(slot)


def similarity():
    """Each slot with its match; the assignment weighs all slots of the two views of an image."""

    def kind(row, column):
        (view, image, slot), (other_view, other_image, other) = place(row, S), place(column, S)
        if image != other_image or view == other_view:
            return None
        return POSITIVE if other == partner(view, image, slot) else MATCHED

    return table(2 * B * S, kind)


def contrastive(within_images=False):
    def kind(row, column):
        (view, image, slot), (other_view, other_image, other) = place(row, S), place(column, S)
        if row == column:
            return MASKED
        if image == other_image and view != other_view and other == partner(view, image, slot):
            return POSITIVE
        return CANDIDATE if image == other_image or not within_images else None

    return table(2 * B * S, kind)


def global_similarity():
    return table(2 * B, lambda row, column: POSITIVE if abs(row - column) == B else None)


def global_contrastive():
    def kind(row, column):
        return MASKED if row == column else POSITIVE if abs(row - column) == B else CANDIDATE

    return table(2 * B, kind)


def small_to_large():
    def kind(row, column):
        (image, crop, slot), (other_image, other) = crop_place(row), divmod(column, LARGE_SLOTS)
        if image != other_image:
            return None
        return POSITIVE if CROP_MATCHING[crop][slot] == other else MATCHED

    return [
        [kind(row, column) for column in range(2 * LARGE_SLOTS)]
        for row in range(2 * len(CROP_MATCHING) * S)
    ]


def crop_place(row):
    return row // (len(CROP_MATCHING) * S), row // S % len(CROP_MATCHING), row % S


def covariance(features=8):
    return table(features, lambda d, e: "variance" if d == e else "covariance")


def table(size, kind):
    return [[kind(row, column) for column in range(size)] for row in range(size)]


# Drawing.


def offsets(groups):
    """The place of each cell of a side, and the middle of each group: `groups` are lists of sizes,
    lists apart by a large gap and their members by a small one."""
    cells, middles, position = [], [], 0
    for sizes in groups:
        for size in sizes:
            middles.append(position + size * CELL / 2)
            cells += [position + k * CELL for k in range(size)]
            position += size * CELL + SMALL_GAP
        position += LARGE_GAP - SMALL_GAP
    return cells, middles, position - LARGE_GAP


def spans(groups):
    """The middle of each outer group."""
    middles, position = [], 0
    for sizes in groups:
        width = sum(sizes) * CELL + SMALL_GAP * (len(sizes) - 1)
        middles.append(position + width / 2)
        position += width + LARGE_GAP
    return middles


def text(x, y, words, anchor="middle", weight="normal", turn=False):
    transform = f' transform="rotate(-90 {x:g} {y:g})"' if turn else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}"{transform}>'
        f"{words}</text>"
    )


def draw(kinds, rows, columns, title, row_title, column_title, legend):
    """`rows`, `columns`: (groups, names of the outer groups, names of the inner ones)."""
    xs, x_middles, width = offsets(columns[0])
    ys, y_middles, height = offsets(rows[0])
    right = MARGIN + width + 28
    total_width, total_height = right + 190, max(TOP + height + 20, TOP + 30 * len(legend) + 60)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width:g} {total_height:g}" '
        f'width="{total_width:g}" height="{total_height:g}" font-family="Helvetica, Arial, '
        'sans-serif" font-size="11" fill="#343a40">',
        f"<title>{title}</title>",
        '<rect width="100%" height="100%" rx="8" fill="#fbfbfa"/>',
        text(MARGIN + width / 2, 16, column_title, weight="bold"),
        text(16, TOP + height / 2, row_title, weight="bold", turn=True),
    ]
    for middle, name in zip(spans(columns[0]), columns[1]):
        parts.append(text(MARGIN + middle, 34, name))
    for middle, name in zip(x_middles, columns[2]):
        parts.append(text(MARGIN + middle, 52, name))
    for middle, name in zip(spans(rows[0]), rows[1]):
        parts.append(text(34, TOP + middle, name, turn=True))
    for middle, name in zip(y_middles, rows[2]):
        parts.append(text(MARGIN - 10, TOP + middle + 4, name, anchor="end"))
    for y, line in zip(ys, kinds):
        for x, kind in zip(xs, line):
            parts.append(cell(MARGIN + x, TOP + y, kind))
    for k, (kind, words) in enumerate(legend):
        y = TOP + 6 + k * 38
        parts.append(cell(right, y, kind))
        for line, part in enumerate(words.split("\n")):
            parts.append(text(right + CELL + 8, y + 10 + 14 * line, part, anchor="start"))
    return "\n".join(parts) + "\n</svg>\n"


def cell(x, y, kind):
    side, fill = CELL - 1, FILL[kind]
    outline = "#e3e6e9" if kind is None else fill
    parts = [
        f'<rect x="{x + 0.5:g}" y="{y + 0.5:g}" width="{side}" height="{side}" rx="2" '
        f'fill="{fill}" stroke="{outline}"/>'
    ]
    if kind in (POSITIVE, "variance"):  # a mark beside the colour
        middle = CELL / 2
        parts.append(f'<circle cx="{x + middle:g}" cy="{y + middle:g}" r="2.2" fill="#ffffff"/>')
    if kind == MASKED:
        parts.append(
            f'<path d="M{x + 3.5:g} {y + 3.5:g}l6 6m0 -6l-6 6" stroke="#868e96" fill="none"/>'
        )
    return "".join(parts)


def views(slots):
    return [[slots] * B] * 2, ["view 0", "view 1"], [f"{i}" if slots == 1 else f"image {i}"
                                                     for i in range(B)] * 2  # fmt: skip


POSITIVE_SLOT = (POSITIVE, "positive: the matched slot\nin the other view")
NOT_COMPARED = (None, "not compared")
ITSELF = (MASKED, "masked: the slot itself")


def figures():
    """(name, kinds, drawing) of each figure."""
    slots, features = views(S), views(1)
    in_title = "slots of f (compared with)"
    of_slots = "slots (compared with)"
    all_figures = [
        (
            "similarity",
            similarity(),
            (slots, slots, "Pairs of the similarity loss", "slots of p (loss)", in_title),
            [
                POSITIVE_SLOT,
                (MATCHED, "cosine of f and f: used by\nthe assignment alone"),
                NOT_COMPARED,
            ],
        ),
        (
            "contrastive",
            contrastive(),
            (slots, slots, "Pairs of the contrastive loss", "slots (loss)", of_slots),
            [POSITIVE_SLOT, (CANDIDATE, "negative: every other slot\nof the batch"), ITSELF],
        ),
        (
            "contrastive_per_img",
            contrastive(within_images=True),
            (slots, slots, "Pairs of the loss per image", "slots (loss)", of_slots),
            [
                POSITIVE_SLOT,
                (CANDIDATE, "negative: every other slot\nof the image"),
                ITSELF,
                NOT_COMPARED,
            ],
        ),
        (
            "global_similarity",
            global_similarity(),
            (features, features, "Pairs of the SimSiam loss", "projs (loss)", "feats"),
            [(POSITIVE, "positive: the other view\nof the image"), NOT_COMPARED],
        ),
        (
            "global_contrastive",
            global_contrastive(),
            (features, features, "Pairs of the SimCLR loss", "projs (loss)", "projs"),
            [
                (POSITIVE, "positive: the other view\nof the image"),
                (CANDIDATE, "negative: every other row\nof the batch"),
                (MASKED, "masked: the row itself"),
            ],
        ),
        (
            "small_to_large",
            small_to_large(),
            (
                ([[S] * 2] * 2, ["image 0", "image 1"], ["crop 0", "crop 1"] * 2),
                ([[LARGE_SLOTS]] * 2, ["image 0", "image 1"], ["large"] * 2),
                "Pairs of the loss of small crops",
                "slots of small crops (loss)",
                "slots of large crops",
            ),
            [
                (POSITIVE, "positive: mutual nearest\nneighbours"),
                (MATCHED, "compared to find the\nnearest neighbours"),
                NOT_COMPARED,
            ],
        ),
        (
            "covariance",
            covariance(),
            (
                ([[8]], [""], [""]),
                ([[8]], [""], [""]),
                "Terms of the covariance matrix",
                "feature d",
                "feature e",
            ),
            [
                ("variance", "variance term: penalised where\nthe deviation is below 1"),
                ("covariance", "covariance term: penalised\nwhere it is not 0"),
            ],
        ),
    ]
    for name, kinds, (rows, columns, *titles), legend in all_figures:
        yield name, kinds, draw(kinds, rows, columns, *titles, legend)


def main():
    for name, _, drawing in figures():
        (IMAGES / f"pairs_{name}.svg").write_text(drawing)


if __name__ == "__main__":
    main()
