"""The workloads' shapes: single arrays, and the parameter lists of three networks.

Each list is derived from the architecture and checked against its published parameter count, in the
order and with the layout that the network's usual PyTorch implementation gives to an optimizer.
"""

from math import prod

Shape = tuple[int, ...]

SIZES = {
    "64": 64,
    "4 Ki": 4 << 10,
    "64 Ki": 64 << 10,
    "1 Mi": 1 << 20,
    "16 Mi": 16 << 20,
    "64 Mi": 64 << 20,
}


def mlp(widths: tuple[int, ...] = (784, 256, 128, 10)) -> list[Shape]:
    """A weight and a bias for each layer."""
    shapes: list[Shape] = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        shapes += [(n_out, n_in), (n_out,)]
    return shapes


def resnet50() -> list[Shape]:
    """He et al. 2015, as in torchvision: the stem, 3+4+6+3 bottleneck blocks and the classifier."""

    def convolution(n_in: int, n_out: int, kernel: int) -> list[Shape]:
        # A convolution without bias, then the weight and the bias of its batch normalisation.
        return [(n_out, n_in, kernel, kernel), (n_out,), (n_out,)]

    shapes = convolution(3, 64, 7)
    n_in = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        n_out = 4 * width
        for block in range(blocks):
            shapes += convolution(n_in, width, 1)
            shapes += convolution(width, width, 3)
            shapes += convolution(width, n_out, 1)
            if block == 0:  # the shortcut changes the number of channels, so it is a convolution too
                shapes += convolution(n_in, n_out, 1)
            n_in = n_out
    return [*shapes, (1000, n_in), (1000,)]


def gpt2(layers: int = 12, width: int = 768, vocabulary: int = 50257, context: int = 1024) -> list[Shape]:
    """Radford et al. 2019, the 124M model; its head is the token embedding, so it is listed once."""

    def affine(n_in: int, n_out: int) -> list[Shape]:
        return [(n_in, n_out), (n_out,)]

    norm: list[Shape] = [(width,), (width,)]
    attention = affine(width, 3 * width) + affine(width, width)
    feed_forward = affine(width, 4 * width) + affine(4 * width, width)
    block = norm + attention + norm + feed_forward
    return [(vocabulary, width), (context, width), *(layers * block), *norm]


LISTS = {"MLP": mlp(), "ResNet-50": resnet50(), "GPT-2": gpt2()}

PUBLISHED = {"MLP": (6, 235_146), "ResNet-50": (161, 25_557_032), "GPT-2": (148, 124_439_808)}
for _name, _shapes in LISTS.items():
    _found = (len(_shapes), sum(map(prod, _shapes)))
    if _found != PUBLISHED[_name]:
        raise AssertionError(f"{_name}: (tensors, parameters) is {_found}, published is {PUBLISHED[_name]}")
