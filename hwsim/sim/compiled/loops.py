"""Operations that need one another, and the order in which all are made."""

from bisect import bisect_left, bisect_right
from itertools import pairwise

__all__ = ["Loop", "Piece", "components"]


class Piece:
    """A run of bits of an operation that is made in parts."""

    __slots__ = ("carry", "high", "low", "needs", "node", "vertex")

    def __init__(self, vertex, low, high):
        self.vertex = vertex
        self.low = low
        self.high = high
        self.needs = ()
        self.node = None
        self.carry = None


class Loop:
    """Vertices that need one another, made in runs of bits that do not.

    Runs are cut wherever an operand begins or ends, and cuts are carried on through all operations
    that work bit by bit, so that in the end a run needs whole runs only.
    """

    def __init__(self, body, vertices):
        self.body = body
        self.vertices = vertices
        self.cuts = {vertex: {0, vertex.width} for vertex in vertices}

    def make(self):
        """Make the nodes."""
        self._cut()
        for vertex in self.vertices:
            points = sorted(self.cuts[vertex])
            vertex.pieces = [Piece(vertex, low, high) for low, high in pairwise(points)]
        pieces = [piece for vertex in self.vertices for piece in vertex.pieces]
        for piece in pieces:
            piece.needs = self._needs(piece)
        for component in components(pieces):
            if len(component) > 1 or component[0] in component[0].needs:
                logics = [piece.vertex.logic for piece in component]
                self.body.refuse_loop([(logic.name, logic.source) for logic in logics])
            self._make(component[0])
        for vertex in self.vertices:
            vertex.node = self.body.builder.concat([piece.node for piece in vertex.pieces])

    def _cut(self):
        cuts = self.cuts
        # For each vertex, runs of it that are runs of another: (start, width, other, its start).
        links: dict = {vertex: [] for vertex in self.vertices}
        todo = []

        def cut(vertex, position):
            # Without lanes, all bits are one.
            if 0 < position < vertex.width and vertex.lanes and position not in cuts[vertex]:
                cuts[vertex].add(position)
                todo.append((vertex, position))

        for vertex in self.vertices:
            for segments, size, signed in vertex.lanes:
                at = 0
                for source, low, width in segments:
                    if source in cuts:
                        links[vertex].append((at, width, source, low))
                        links[source].append((low, width, vertex, at))
                        cut(vertex, at)
                        cut(vertex, at + width)
                        cut(source, low)
                        cut(source, low + width)
                        if signed and at + width == size < vertex.width:
                            cut(source, low + width - 1)
                    at += width
            for segments, _, _ in vertex.whole:
                for source, low, width in segments:
                    if source in cuts:
                        cut(source, low)
                        cut(source, low + width)
        while todo:
            vertex, position = todo.pop()
            for start, width, other, its_start in links[vertex]:
                if start < position < start + width:
                    cut(other, its_start + position - start)

    def _needs(self, piece):
        vertex = piece.vertex
        found: dict[Piece, None] = {}
        for segments, size, signed in vertex.lanes:
            low, high = piece.low, min(piece.high, size)
            if high <= low and signed:
                low, high = size - 1, size
            elif high < piece.high and signed:
                low = min(low, size - 1)
            self._collect(found, segments, low, high)
        for segments, size, _ in vertex.whole:
            self._collect(found, segments, 0, size)
        if vertex.logic.carry is not None and piece.low:
            found[vertex.pieces[self._index(piece) - 1]] = None
        return list(found)

    @staticmethod
    def _index(piece):
        return bisect_left(piece.vertex.pieces, piece.low, key=lambda p: p.low)

    def _collect(self, found, segments, low, high):
        at = 0
        for source, start, width in segments:
            a, z = max(low, at) + start - at, min(high, at + width) + start - at
            if a < z and source in self.cuts:
                pieces = source.pieces
                k = bisect_right(pieces, a, key=lambda p: p.low) - 1
                while k < len(pieces) and pieces[k].low < z:
                    found[pieces[k]] = None
                    k += 1
            at += width

    def _make(self, piece):
        vertex = piece.vertex
        body = self.body
        lanes = [body.fetch(operand, piece.low, piece.high) for operand in vertex.lanes]
        carry = vertex.logic.carry
        if carry is None or len(vertex.pieces) == 1:
            piece.node = body.compute(vertex, lanes)
            return
        b = body.builder
        width = piece.high - piece.low
        last = b.not_(lanes[-1]) if carry else lanes[-1]
        first = lanes[0] if len(lanes) == 2 else b.const(0, width)
        into = b.const(carry, 1)
        if piece.low:
            into = vertex.pieces[self._index(piece) - 1].carry
        parts = [b.extend(part, width + 1, False) for part in (first, last, into)]
        total = b.node("add", width + 1, b.node("add", width + 1, parts[0], parts[1]), parts[2])
        piece.node = b.slice(total, 0, width)
        piece.carry = b.slice(total, width, 1)


def components(items):
    """Groups of items that need one another, each after those that it needs (Tarjan, 1972)."""
    numbers: dict = {}
    lowest: dict = {}
    path = []
    on_path = set()
    result = []
    for root in items:
        if root in numbers:
            continue
        numbers[root] = lowest[root] = len(numbers)
        path.append(root)
        on_path.add(root)
        stack = [(root, iter(root.needs))]
        while stack:
            item, rest = stack[-1]
            for other in rest:
                if other not in numbers:
                    numbers[other] = lowest[other] = len(numbers)
                    path.append(other)
                    on_path.add(other)
                    stack.append((other, iter(other.needs)))
                    break
                if other in on_path:
                    lowest[item] = min(lowest[item], numbers[other])
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[item])
                if lowest[item] == numbers[item]:
                    component: list = []
                    while not component or component[-1] is not item:
                        component.append(path.pop())
                        on_path.discard(component[-1])
                    result.append(component)
    return result
