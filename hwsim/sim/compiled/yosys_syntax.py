"""Syntax trees of Verilog, as Yosys dumps them into its log."""

import re
from dataclasses import dataclass, field

__all__ = ["Syntax", "trees"]

_NODE = re.compile(r" +(AST_\w+) <(.*?):(\d+)\.(\d+)[^>]*>(.*)")


@dataclass(eq=False, slots=True)
class Syntax:
    """A node at a place in a file; ``text`` is what else its line in the log says."""

    kind: str
    file: str
    line: int
    column: int
    text: str
    children: list["Syntax"] = field(default_factory=list)

    @property
    def name(self):
        """What the node declares or refers to."""
        name = re.search(r"str='\\?([^']*)'", self.text)
        return name[1] if name else ""

    def below(self):
        """The node and all below it, in no order."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.children)


def trees(log, stage, kind):
    """Outermost nodes of a kind in the dumps that were made before or after simplification."""
    found: list[Syntax] = []
    path: list[tuple[int, Syntax]] = []
    dumping = False
    for line in log.splitlines():
        m = _NODE.match(line)
        if m is None:
            if line.startswith(("Dumping AST", "--- END OF AST DUMP")):
                dumping = line == f"Dumping AST {stage} simplification:"
                path.clear()
            continue
        if not dumping:
            continue
        node = Syntax(m[1].removeprefix("AST_"), m[2], int(m[3]), int(m[4]), m[5])
        while path and path[-1][0] >= m.start(1):
            path.pop()
        if path:
            path[-1][1].children.append(node)
        elif node.kind == kind:
            found.append(node)
        else:
            continue
        path.append((m.start(1), node))
    return found
