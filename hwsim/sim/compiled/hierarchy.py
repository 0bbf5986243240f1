"""Which modules of a design share a body, and how the bodies are connected."""

from .body import Body, Instance, Site
from .ir import Graph, Group
from .rtlil import Switch
from .template import Template, UnsupportedDesign, public

__all__ = ["GROUP_MIN", "Design"]

# Modules with as many instances are compiled once. Below that, sharing gains nothing.
GROUP_MIN = 8


class Type:
    """Modules that are equal but for names.

    ``module`` is the first of them, ``key`` its name, and ``wires`` has the numbers of the wires in
    each, by name of module and wire; wires with the same number correspond.
    """

    def __init__(self, module, key):
        self.module = module
        self.key = key
        self.wires = {}
        self._renaming = {}

    def renaming(self, module, other):
        """Wires of a module of this type to those of another."""
        found = self._renaming.get((module.name, other.name))
        if found is None:
            if module is other:
                found = {name: name for name in module.wires}
            else:
                theirs = list(self.wires[other.name])
                found = {name: theirs[n] for name, n in self.wires[module.name].items()}
            self._renaming[module.name, other.name] = found
        return found

    def named(self, module):
        """Wires of a module that have a name to observe there or in another of this type."""
        numbers = {
            number
            for name, wires in self.wires.items()
            if name != module.name
            for wire, number in wires.items()
            if wire[0] == "\\"
        }
        own = self.wires.get(module.name, {})
        return [
            wire
            for name, wire in module.wires.items()
            if wire.width and (name[0] == "\\" or own.get(name) in numbers)
        ]


class Design:
    """The modules that are used, which of them share a body, and the graph."""

    def __init__(self, modules, top, flat):
        self.modules = modules
        self.graph = Graph()
        self.builders = {}
        self.templates = {}
        self.top = top
        self.order = self._children_first()
        self.types = self._types()
        self.grouped = self._choose_groups(flat)

    def template(self, name):
        """Drivers of a module."""
        if name not in self.templates:
            self.templates[name] = Template(self.modules[name], self.modules)
        return self.templates[name]

    def children(self, module):
        """Cells that are sub-modules, with their indices."""
        return [
            (index, cell)
            for index, cell in enumerate(module.cells)
            if cell.type in self.modules and not self.modules[cell.type].attributes.get("blackbox")
        ]

    def _children_first(self):
        """Names of the modules in use, each after those that it has instances of."""
        order, state = [], {self.top: False}
        stack = [(self.top, iter(self.children(self.modules[self.top])))]
        while stack:
            name, rest = stack[-1]
            for _, cell in rest:
                if cell.type not in state:
                    state[cell.type] = False
                    stack.append((cell.type, iter(self.children(self.modules[cell.type]))))
                    break
                if not state[cell.type]:
                    raise UnsupportedDesign(f"module {public(name)!r} is a part of itself")
            else:
                stack.pop()
                state[name] = True
                order.append(name)
        return order

    def _types(self):
        """The type of every module in use."""
        total = dict.fromkeys(self.order, 0)
        total[self.top] = 1
        for name in reversed(self.order):
            for _, cell in self.children(self.modules[name]):
                total[cell.type] += total[name]

        def shape(module):
            kinds = [cell.type if cell.type[0] == "$" else "" for cell in module.cells]
            return tuple(kinds), len(module.processes)

        # Only modules that look alike in sufficient number are worth a closer look.
        alike: dict[tuple, int] = {}
        shapes = {name: shape(self.modules[name]) for name in self.order}
        for name in self.order:
            alike[shapes[name]] = alike.get(shapes[name], 0) + total[name]
        types: dict[str, Type] = {}
        known: dict[object, Type] = {}
        for name in self.order:
            key: object = name
            wires = None
            if alike[shapes[name]] >= GROUP_MIN and alike[shapes[name]] > total[name]:
                key, wires = canonical(self.modules[name], types, self.modules)
            one = known.get(key)
            if one is None:
                one = known[key] = Type(self.modules[name], name)
            if wires is not None:
                one.wires[name] = wires
            types[name] = one
        return types

    def _choose_groups(self, flat):
        """Types with a body of their own, by name of the first module."""
        # Number of instances of a type in each body, per instance of that body.
        inside: dict[Type, dict[str, int]] = {one: {} for one in self.types.values()}
        top = self.types[self.top]
        count = {top.key: 1}
        intrinsic = self._with_intrinsics()
        done = set()
        for name in reversed(self.order):
            one = self.types[name]
            if one in done:
                continue
            done.add(one)
            here = inside[one]
            total = sum(count[body] * number for body, number in here.items())
            # One in each instance of a group is simply a part of it.
            lonely = len(here) == 1 and next(iter(here.values())) == 1
            if one is top:
                bodies = {one.key: 1}
            elif total < GROUP_MIN or lonely or one.key in flat or one.key in intrinsic:
                bodies = here
            else:
                count[one.key] = total
                bodies = {one.key: 1}
            for _, cell in self.children(one.module):
                below = inside[self.types[cell.type]]
                for body, number in bodies.items():
                    below[body] = below.get(body, 0) + number
        return count

    def _with_intrinsics(self):
        """Types that reach buffers, of which there is one for all."""
        found = set()
        for name in self.order:
            module = self.modules[name]
            if any(
                cell.type in ("\\hwsim_load", "\\hwsim_store")
                or (cell.type in self.types and self.types[cell.type].key in found)
                for cell in module.cells
            ):
                found.add(self.types[name].key)
        return found

    def build(self):
        """The graph."""
        order = [self.types[name].key for name in reversed(self.order)]
        order = [key for key in dict.fromkeys(order) if key in self.grouped]
        self.bodies = {}
        for key in reversed(order):
            group = self.graph.top if key == self.types[self.top].key else Group(public(key), [])
            self.bodies[key] = Body(self, self.modules[key], group)
        top = self.bodies[order[0]]
        self._number([self.bodies[key] for key in order])
        for key in order:
            body = self.bodies[key]
            self.graph.bodies[body.group] = body.scope()
        self._clock(top)
        # Inner bodies first: what they are connected to may be a new input of an outer one.
        for key in reversed(order):
            self.bodies[key].connect_inputs()
        for body in self.bodies.values():
            body.connect_outputs()
        self._compose()
        self.graph.renamed = self._renamed()
        return self.graph

    def _number(self, bodies):
        """Number the instances of each group and give them their paths, outer bodies first."""
        bodies[0].actual = [self.modules[self.top]]
        for body in bodies:
            found: dict[Body, list[Site]] = {}
            for site in body.sites:
                found.setdefault(site.body, []).append(site)
            count = body.group.count
            prefixes = [f"{path}." if path else "" for path in body.group.instances]
            for inner, sites in found.items():
                first, step = inner.group.count, len(sites)
                for k, site in enumerate(sites):
                    site.numbers = range(first + k, first + k + count * step, step)
                for i, module in enumerate(body.actual):
                    for site in sites:
                        name, actual = self._path(site, module)
                        inner.group.instances.append(prefixes[i] + name)
                        inner.actual.append(actual)

    def _path(self, site, module):
        """Names from an instance of the body, which is of this module, down to the site."""
        key = id(module)
        if key not in site.paths:
            names = []
            for index in site.indices:
                cell = module.cells[index]
                names.append(public(cell.name))
                module = self.modules[cell.type]
            site.paths[key] = ".".join(names), module
        return site.paths[key]

    def _renamed(self):
        """Names in instances whose modules have other names than the body that they share.

        For each group with such instances a list with an entry per instance: None, or a dict of
        the instance's own names to those in the group's body, paths from the body's root on.
        """
        result = {}
        for body in self.bodies.values():
            first = body.root.module
            if all(module is first for module in body.actual):
                continue
            known = {first.name: None}
            for module in body.actual:
                if module.name not in known:
                    known[module.name] = self._own_names(body, module)
            result[body.group] = [known[module.name] for module in body.actual]
        return result

    def _own_names(self, body, module):
        names = {}
        stack = [(body.root, module, "", "")]
        while stack:
            instance, module, prefix, place = stack.pop()
            first = instance.module
            renaming = self.types[module.name].renaming(module, first)
            for wire in module.wires.values():
                if wire.name[0] == "\\" and wire.width and wire.name in renaming:
                    names[prefix + public(wire.name)] = place + public(renaming[wire.name])
            for own, other in zip(module.memories, first.memories, strict=True):
                names[prefix + public(own)] = place + public(other)
            for index, child in instance.children.items():
                if isinstance(child, Instance):
                    cell = module.cells[index]
                    stack.append(
                        (
                            child,
                            self.modules[cell.type],
                            f"{prefix}{public(cell.name)}.",
                            f"{place}{public(child.cell.name)}.",
                        )
                    )
        return names

    def _clock(self, top):
        """The one clock of the design."""
        graph = self.graph
        for wire, what in top.clocks.items():
            name = public(wire)
            if graph.clock is None:
                graph.clock, first = name, what
            elif name != graph.clock:
                raise UnsupportedDesign(
                    f"{what} is clocked by {name!r}, but {first} by {graph.clock!r}: several "
                    "clocks are not supported"
                )
        if graph.clock is not None:
            if graph.clock in top.used_inputs:
                raise UnsupportedDesign(
                    f"clock {graph.clock!r} is used as data, which is not supported"
                )
            graph.inputs.pop(graph.clock, None)

    def _compose(self):
        """Let ports refer to values, not to other ports."""
        ports = [port for body in self.bodies.values() for port in body.ports]
        for port in ports:
            sources = port.sources
            for k, (node, instance) in enumerate(sources):
                steps = 0
                while node.op == "port":
                    node, instance = node.attr.sources[instance]
                    steps += 1
                    if steps > len(ports):
                        raise UnsupportedDesign(
                            f"combinational loop through port {port.name!r}, which is not supported"
                        )
                if steps:
                    sources[k] = (node, instance)
            if any(node.op == "const" for node, _ in sources):
                port.sources = [(n, 0 if n.op == "const" else i) for n, i in sources]

    def types_on_loop(self):
        """Types whose bodies must be dissolved, since instances need one another in a circle."""
        graph = self.graph
        if len(self.bodies) == 1:
            return set()
        try:
            graph.sorted(node for scope in _scopes(graph) for node in scope.signals.values())
        except ValueError as error:
            groups = {node.group for node in error.args[0]}
            keys = {key for key, body in self.bodies.items() if body.group in groups}
            return keys - {self.types[self.top].key}
        return set()


def _scopes(graph):
    stack = list(graph.bodies.values())
    while stack:
        scope = stack.pop()
        yield scope
        stack.extend(child for child in scope.children.values() if not isinstance(child, tuple))


def canonical(module, types, modules):
    """A key that equal modules share, and the names of the wires in the order that it uses."""
    numbers: dict[str, int] = {}
    memories = {name: k for k, name in enumerate(module.memories)}

    def vector(chunks):
        return tuple(
            chunk
            if chunk[0] is None
            else (numbers.setdefault(chunk[0], len(numbers)), "wire", *chunk[1:])
            for chunk in chunks
        )

    def statements(body):
        result: list[object] = []
        for statement in body:
            if type(statement) is not Switch:
                result.append((vector(statement[0]), vector(statement[1])))
                continue
            cases = [
                (tuple(p if isinstance(p, str) else vector(p) for p in patterns), statements(inner))
                for patterns, inner in statement.cases
            ]
            result.append((vector(statement.value), tuple(cases)))
        return tuple(result)

    cells: list[object] = []
    for cell in module.cells:
        parameters = dict(cell.parameters)
        if cell.type in types:
            one = types[cell.type]
            known = one.wires.get(cell.type)
            ports = []
            for port, chunks in cell.ports.items():
                # A port that its module does not use is no part of the design.
                name = f"\\{port}"
                if known is None:
                    ports.append((name, vector(chunks)))
                elif name in known:
                    ports.append((known[name], vector(chunks)))
            cells.append((one.key, tuple(sorted(ports))))
            continue
        if "MEMID" in parameters:
            parameters["MEMID"] = memories.get(str(parameters["MEMID"]), parameters["MEMID"])
        ports = [(port, vector(chunks)) for port, chunks in cell.ports.items()]
        cells.append((cell.type, tuple(sorted(parameters.items())), tuple(ports)))
    parts = (
        tuple(cells),
        tuple(statements(process.body) for process in module.processes),
        tuple((vector(left), vector(right)) for left, right in module.connections),
        tuple((m.width, m.size, m.offset) for m in module.memories.values()),
    )
    wires = []
    for name in numbers:
        wire = module.wires[name]
        wires.append((wire.width, wire.port == "input", wire.attributes.get("init")))
    return (parts, tuple(wires)), numbers
