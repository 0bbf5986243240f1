"""What is known of a value beyond its own bits.

Values live in machine words: 1, 8, 16, 32, 64 bits or a multiple of 64, the *container*. The bits
of a container above the value's width are whatever the arithmetic left there, and only operations
that look at them (comparisons, right shifts, extensions) pay for cleaning. These facts say when
they are clean already.
"""

import heapq
from typing import Any

from .ir import Memory, Node, operands, topological
from .values import storage as container

__all__ = ["Ranges", "container", "literal"]

_ROUNDS = 3


def _signed_bits(value):
    """Bits that hold a signed integer in two's complement."""
    return (value if value >= 0 else ~value).bit_length() + 1


def literal(value, width):
    """A constant or initial value as it stands in its container: extended by its top bit."""
    return value - (1 << width) if width > 1 and value >> (width - 1) else value


class Ranges:
    """For each node two bounds on its container, ``unsigned`` and ``signed``.

    The container's value is below ``2**unsigned``, and it is the sign extension of its lowest
    ``signed`` bits. A value of width w is zero-extended if ``unsigned <= w`` and sign-extended if
    ``signed <= w``. The bounds of registers and memories hold for their contents in all cycles:
    they are assumed from the initial value, and widened until the next values fit.
    """

    def __init__(self, roots, registers, memories):
        self._facts: dict[Node, tuple[int, int]] = {}
        self._state = {r: _of_value(r.init, r.width) for r in registers}
        for memory in memories:
            bounds = [_of_value(word, memory.width) for word in memory.words]
            self._state[memory] = _meet(bounds)
        order = topological(roots)
        users: dict[Any, list] = {}
        for node in order:
            for operand in operands(node):
                users.setdefault(operand, []).append(node)
            if node.op in ("register", "read"):
                users.setdefault(node.attr, []).append(node)
        for register in registers:
            users.setdefault(register.next, []).append(register)
        for memory in memories:
            for write in memory.writes:
                users.setdefault(write.data, []).append(memory)
        widened = dict.fromkeys(self._state, 0)
        rank = {node: k for k, node in enumerate(order)}
        # Nodes before the states that they lead to, which may send others round again.
        pending = list(range(len(order)))
        while pending:
            states = {}
            queued = set(pending)
            while pending:
                node = order[heapq.heappop(pending)]
                queued.discard(rank[node])
                new = self._compute(node)
                if self._facts.get(node) == new:
                    continue
                self._facts[node] = new
                for user in users.get(node, ()):
                    if not isinstance(user, Node):
                        states[user] = True
                    elif rank[user] not in queued:
                        queued.add(rank[user])
                        heapq.heappush(pending, rank[user])
            for state in states:
                values = (
                    [w.data for w in state.writes] if isinstance(state, Memory) else [state.next]
                )
                old = self._state[state]
                new = _meet([old, *(self._facts[value] for value in values)])
                if new != old:
                    widened[state] += 1
                    full = container(state.width)
                    self._state[state] = new if widened[state] <= _ROUNDS else (full, full)
                    for user in users.get(state, ()):
                        heapq.heappush(pending, rank[user])

    def unsigned(self, node):
        """Bits outside of which the container of ``node`` is 0."""
        return self._facts[node][0]

    def signed(self, node):
        """Bits of which the container of ``node`` is the sign extension."""
        return self._facts[node][1]

    def _compute(self, node):
        full = container(node.width)
        unsigned, signed = self._bounds(node, full)
        unsigned = min(unsigned, full)
        return unsigned, min(signed, unsigned + 1, full)

    def _bounds(self, node, full):
        op = node.op
        if full == 1:
            return 1, 1
        if op == "const":
            return _of_value(node.attr, node.width)
        if op == "input":
            return node.width, full
        if op in ("register", "read"):
            return self._state[node.attr]
        if op == "load":
            return full, full
        if op == "port":
            return _meet([self._facts[source] for source, _ in node.attr.sources])
        facts = [self._facts[arg] for arg in node.args]
        widths = [arg.width for arg in node.args]
        (u, s), width = facts[0], widths[0]
        if op in ("add", "sub", "mul", "and", "or", "xor"):
            v, t = facts[1]
            if op == "add":
                return max(u, v) + 1, max(s, t) + 1
            if op == "sub":
                return full, max(s, t) + 1
            if op == "mul":
                return u + v, s + t
            return (min if op == "and" else max)(u, v), max(s, t)
        if op == "not":
            return full, s
        if op == "neg":
            return full, s + 1
        if op == "move":
            return facts[0]
        if op == "mux":
            return _meet(facts[1:])
        if op == "zext":
            return min(u, width), full
        if op == "sext":
            return full, min(s, width)
        if op == "slice":
            if node.attr == 0:
                return (u if u <= full else full), (s if s <= full else full)
            return max(u - node.attr, 1), full
        if op == "concat":
            offset = node.width - widths[-1]
            u, s = facts[-1]
            if container(widths[-1]) == 1:
                u = s = 1
                return offset + 1, full
            if u <= widths[-1]:
                return offset + u, full
            if s <= widths[-1]:
                return full, offset + s
            return offset + container(widths[-1]), full
        if op == "shr":
            return min(u, width), full
        if op == "sshr":
            return full, min(s, width)
        if op == "div_floor":
            return min(u, width), full
        if op == "mod_floor":
            return min(u, width, facts[1][0]), full
        if op in ("sdiv_floor", "sdiv_trunc"):
            return full, min(s, width) + 1
        if op in ("smod_floor", "smod_trunc"):
            return full, max(min(s, width), min(facts[1][1], width))
        return full, full


def _of_value(value, width):
    value = literal(value, width)
    return (value.bit_length() if value >= 0 else container(width)), _signed_bits(value)


def _meet(bounds):
    return max(u for u, _ in bounds), max(s for _, s in bounds)
