"""Where the codes of feature maps lie: which maps share memory, and with what pitches."""

from dataclasses import dataclass

from hwsim.network.integer import Add, Concat, Conv, Dense, Mul

from .tiling import convolution, fold_count, round_up

__all__ = ["Layout", "Storage", "View", "lay_out", "share_storages"]


@dataclass(frozen=True)
class Storage:
    """Memory for a feature map, or for several that are concatenated.

    Channel ``c`` of pixel ``(y, x)`` lies ``y * row + x * pixel + c`` bytes after the first.
    """

    name: str
    channels: int
    height: int
    width: int
    pixel: int
    row: int

    @property
    def size(self):
        """Bytes from the first code to the last."""
        return self.rows_size(self.height)

    def rows_size(self, rows):
        """Bytes of so many rows."""
        return (rows - 1) * self.row + (self.width - 1) * self.pixel + self.channels


@dataclass(frozen=True)
class View:
    """A feature map in its storage: channels from ``channel`` on."""

    storage: Storage
    channel: int


@dataclass(frozen=True)
class Layout:
    """Views by tensor name; ``copies`` are (concatenation, number of an input) to be copied."""

    views: dict[str, View]
    copies: frozenset[tuple[str, int]]


def lay_out(network, config, spilled=frozenset(), copied=frozenset()):
    """Choose pitches for all feature maps.

    Parameters
    ----------
    network : IntegerNetwork
    config : Systolic
    spilled : set of storage names
        That lie in memory, so that their rows must begin at whole beats.
    copied : set of tensor names
        Concatenations whose inputs all have a storage of their own.

    Returns
    -------
    Layout
    """
    places, copies = share_storages(network, copied)
    roots = {root for root, _ in places.values()}
    # Storages whose pitches must agree, because one instruction reads them together.
    alike = {root: root for root in roots}

    def find(root):
        while alike[root] != root:
            root = alike[root]
        return root

    for layer in network.layers:
        if isinstance(layer, Add | Mul):
            first, second = (find(places[name][0]) for name in layer.inputs)
            alike[second] = first
    pitches: dict[str, tuple[int, int]] = {}
    for leader in {find(root) for root in roots}:
        members = {root for root in roots if find(root) == leader}
        pitches |= dict.fromkeys(members, _pitches(network, config, places, members, spilled))
    storages = {}
    for root in roots:
        channels, height, width = network.tensors[root].shape
        pixel, row = pitches[root]
        storages[root] = Storage(root, channels, height, width, pixel, row)
    views = {name: View(storages[root], channel) for name, (root, channel) in places.items()}
    return Layout(views, frozenset(copies))


def share_storages(network, copied):
    """(root, first channel) of each tensor, and the inputs of concatenations that are copied."""
    places: dict[str, tuple[str, int]] = {}
    copies = set()
    fixed = {network.input.name}
    for layer in reversed(network.layers):
        root, channel = places.setdefault(layer.output, (layer.output, 0))
        if not isinstance(layer, Concat):
            continue
        for k, name in enumerate(layer.inputs):
            if layer.output in copied or name in places or name in fixed:
                copies.add((layer.name, k))
            else:
                places[name] = (root, channel)
            channel += network.tensors[name].shape[0]
    places.setdefault(network.input.name, (network.input.name, 0))
    return places, copies


def _pitches(network, config, places, members, spilled):
    """Pixel and row pitch for storages that must agree: those with the fewest folds."""
    banks = config.banks
    channels = max(network.tensors[root].shape[0] for root in members)
    width = max(network.tensors[root].shape[2] for root in members)
    readers = [
        convolution(layer, network)
        for layer in network.layers
        if isinstance(layer, Conv | Dense) and places[layer.inputs[0]][0] in members
    ]
    narrow = {
        group.channels
        for reader in readers
        for group in reader.groups_of(config)
        if reader.taps > 1
    }
    pixels = {channels} | {channels + (count - channels) % banks for count in narrow}
    choices = []
    for pixel in sorted(pixels):
        rows = {width * pixel} | {
            width * pixel + (reader.kernel[1] * group.channels - width * pixel) % banks
            for reader in readers
            for group in reader.groups_of(config)
        }
        if members & spilled:
            rows = {round_up(width * pixel, config.axi_bytes)}
        choices += [(pixel, row) for row in sorted(rows)]

    def folds(pitches):
        return sum(fold_count(reader, config, *pitches) for reader in readers)

    return min(choices, key=folds)
