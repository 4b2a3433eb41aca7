"""JSON schemas: how much work the grammar is that the engine makes of one. Pure.

The engine turns each node into a rule, each target of a ``$ref`` once. A list of types makes a node of each
of them, and so multiplies what is below. Alternatives that begin alike are all followed at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from leader.door.bodies.json_bodies import checked, written
from leader.door.grammars.grammar_growth import MOST_REPEATS, MOST_WIDTH, components_of
from leader.door.grammars.grammar_rules import Effort
from leader.door.grammars.patterns import check_pattern
from leader.door.orders import Unacceptable

MOST_BYTES = 524_288
MOST_LEVELS = 48
MOST_VALUES = 50_000
MOST_NODES = 5000
"""Rules, those counted again that a list of types repeats."""
MOST_REPEATED = 200_000
"""Of all bounds of lists and strings together: the engine makes a rule for each turn."""
MOST_OPTIONAL = 300
"""Properties of one object that may be left out: the engine's work grows with the cube of their number."""
MOST_REFERENCES = 1024
MOST_NAME = 256
"""Characters of a property: the engine nests brackets as deep."""
LARGEST_ALONE = 10**15 - 1
"""Of a lower or upper bound without the other: beyond it the engine never ends."""
LARGEST = 10**18

_ONES = ("items", "prefixItems", "additionalProperties")
_SOME = ("oneOf", "anyOf", "allOf", "items", "prefixItems")


def check_schema(schema: Any, place: str, effort: Effort | None = None) -> int:
    """How many rules a schema becomes; Unacceptable where the engine would stand still or fall over it."""
    if not isinstance(schema, dict):
        raise Unacceptable(place, "must be a JSON schema, an object")
    checked(schema, place, MOST_LEVELS, MOST_VALUES, MOST_NAME)
    if len(written(schema, place)) > MOST_BYTES:
        raise Unacceptable(place, f"must have at most {MOST_BYTES} bytes")
    return _Schema(schema, place, effort or Effort()).check()


@dataclass(slots=True)
class _Measure:
    """Of a node with all below it, the targets of references left out."""

    nodes: int = 1
    repeated: int = 0
    references: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Schema:
    root: dict[str, Any]
    place: str
    effort: Effort
    nodes: int = 0
    repeated: int = 0
    targets: dict[str, Any] = field(default_factory=dict)
    measures: dict[int, _Measure] = field(default_factory=dict)
    widths: dict[int, int] = field(default_factory=dict)
    cycles: dict[str, int] = field(default_factory=dict)
    """The references that lead back to themselves, each with the number of its cycle."""

    def check(self) -> int:
        waiting = list(self._take(self.root))
        while waiting:
            reference = waiting.pop()
            if reference not in self.targets:
                if len(self.targets) >= MOST_REFERENCES:
                    raise self._wrong(f"has more than {MOST_REFERENCES} references")
                self.targets[reference] = self._resolved(reference)
                waiting += self._take(self.targets[reference])
        self._find_cycles()
        self._width_of_all()
        return self.nodes

    def _take(self, node: Any) -> frozenset[str]:
        """Count what the engine builds of a node; the references in it."""
        measure = self._measure(node)
        self.nodes += measure.nodes
        self.repeated += measure.repeated
        if self.nodes > MOST_NODES:
            raise self._wrong(f"becomes more than {MOST_NODES} rules")
        if self.repeated > MOST_REPEATED:
            raise self._wrong("allows lists and strings too many lengths, all of them together")
        return measure.references

    def _wrong(self, message: str) -> Unacceptable:
        return Unacceptable(self.place, message)

    # --- what there is to build

    def _measure(self, node: Any) -> _Measure:
        known = self.measures.get(id(node))
        if known is None:
            known = self.measures[id(node)] = self._measured(node)
        return known

    def _measured(self, node: Any) -> _Measure:
        if not isinstance(node, dict):
            return _Measure()
        if "$ref" in node:
            return _Measure(references=frozenset([self._reference(node["$ref"])]))
        self._check_values(node)
        parts = [self._measure(child) for child in _children(node)]
        times = _types(node)
        repeated = sum(self._repeats(node, *pair) for pair in _PAIRS) + sum(one.repeated for one in parts)
        nodes = 1 + len(node.get("enum", ())) // 8 + sum(one.nodes for one in parts)
        references = frozenset().union(*(one.references for one in parts))
        return _Measure(min(nodes * times, MOST_NODES + 1), repeated * times, references)

    def _reference(self, value: Any) -> str:
        if not isinstance(value, str) or not value.startswith("#/") or len(value) > MOST_NAME:
            raise self._wrong(
                f"may refer to its own parts alone: $ref must begin with #/ ({str(value)[:40]})"
            )
        return value

    def _resolved(self, reference: str) -> Any:
        target: Any = self.root
        for part in reference.split("/")[1:]:
            if isinstance(target, dict) and part in target:
                target = target[part]
            elif isinstance(target, list) and part.isascii() and part.isdecimal() and len(part) < 10:
                if int(part) >= len(target):
                    raise self._wrong(f"refers to what is not there: {reference}")
                target = target[int(part)]
            else:
                raise self._wrong(f"refers to what is not there: {reference}")
        return target

    def _check_values(self, node: dict[str, Any]) -> None:
        if _optional(node) > MOST_OPTIONAL:
            raise self._wrong(f"has an object of more than {MOST_OPTIONAL} properties that are not required")
        if isinstance(node.get("pattern"), str):
            check_pattern(node["pattern"], self.place, self.effort)
        if not isinstance(node.get("enum", []), list):
            raise self._wrong("has an enum that is no list")
        self._check_numbers(node)

    def _check_numbers(self, node: dict[str, Any]) -> None:
        low = _number(node.get("minimum", node.get("exclusiveMinimum")))
        high = _number(node.get("maximum", node.get("exclusiveMaximum")))
        largest = LARGEST_ALONE if low is None or high is None else LARGEST
        if any(abs(one) > largest for one in (low, high) if one is not None):
            raise self._wrong(f"has a bound of a number beyond {largest}")
        if low is not None and high is not None and low > high:
            raise self._wrong("has a maximum below its minimum")

    def _repeats(self, node: dict[str, Any], least: str, most: str) -> int:
        low, high = node.get(least, 0), node.get(most)
        for one in (low, high):
            if one is not None and (type(one) is not int or not 0 <= one < 2**31):
                raise self._wrong(f"has a {least} or {most} that is no count")
        if high is not None and high < low:
            raise self._wrong(f"has a {most} below its {least}")
        # Beyond its own bound the engine knows no end; what must be there beyond it, it refuses.
        return min(int(low if high is None or high > MOST_REPEATS else high), MOST_REPEATS)

    # --- how many readings at once

    def _find_cycles(self) -> None:
        names, edges = list(self.targets), self._edges()
        for cycle, component in enumerate(components_of(edges)):
            if len(component) > 1 or component[0] in edges[component[0]]:
                self.cycles.update((names[number], cycle) for number in component)
        self._forbid_empty_cycles()

    def _forbid_empty_cycles(self) -> None:
        """References that lead to themselves through alternatives alone: the engine falls over them."""
        numbers = {reference: number for number, reference in enumerate(self.targets)}
        edges = {
            number: [numbers[one] for one in self._beginnings(self.targets[reference])]
            for reference, number in numbers.items()
        }
        for component in components_of(edges):
            if len(component) > 1 or component[0] in edges[component[0]]:
                raise self._wrong("has a $ref that leads to nothing but itself")

    def _beginnings(self, node: Any) -> Iterator[str]:
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            yield node["$ref"]
            return
        for key in ("oneOf", "anyOf", "allOf"):
            for child in node[key] if isinstance(node.get(key), list) else ():
                yield from self._beginnings(child)

    def _width_of_all(self) -> None:
        """The targets in the order in which they need each other, then the schema itself."""
        names = list(self.targets)
        for component in components_of(self._edges()):
            for number in component:
                self._width(self.targets[names[number]], self.cycles.get(names[number], -1))
        self._width(self.root, -1)

    def _edges(self) -> dict[int, list[int]]:
        """Which references the target of each leads to, by their numbers."""
        numbers = {reference: number for number, reference in enumerate(self.targets)}
        return {
            number: [numbers[one] for one in self._measure(self.targets[reference]).references]
            for reference, number in numbers.items()
        }

    def _width(self, node: Any, cycle: int) -> int:
        if not isinstance(node, dict):
            return 1
        if "$ref" in node:
            inside = cycle >= 0 and self.cycles.get(node["$ref"]) == cycle
            return 1 if inside else self.widths.get(id(self.targets[node["$ref"]]), 1)
        width = self._measured_width(node, cycle)
        if width > MOST_WIDTH:
            raise self._wrong("can be read in too many ways at once")
        self.widths[id(node)] = max(width, self.widths.get(id(node), 1))
        return width

    def _measured_width(self, node: dict[str, Any], cycle: int) -> int:
        widest = max((self._width(child, cycle) for child in _structure(node)), default=1)
        own = 4 + len(node.get("enum", ()))
        own += _optional(node)
        unions = [node[key] for key in ("oneOf", "anyOf", "allOf") if isinstance(node.get(key), list)]
        together = sum(self._union_width(children, cycle) for children in unions)
        times = _types(node)
        if times > 1 and cycle >= 0 and sum(map(self._leads_back(cycle), _structure(node))):
            self._forbid_doubling(len([one for one in node["type"] if one in ("object", "array")]))
        return (own + widest + together) * (len(node["type"]) if times > 1 and _repeats_types(node) else 1)

    def _union_width(self, children: list[Any], cycle: int) -> int:
        groups: dict[str, list[Any]] = {}
        for child in children:
            groups.setdefault(self._kind(child), []).append(child)
        mixed = groups.pop("mixed", [])
        widths = [sum(self._width(child, cycle) for child in mixed)]
        for kind, members in groups.items():
            each = [self._width(child, cycle) for child in members]
            apart = self._told_apart(members)
            if cycle >= 0 and not apart:
                back = sum(map(self._leads_back(cycle), [*members, *mixed]))
                self._forbid_doubling(back)
            widths.append(max(each) + len(each) if apart else sum(each))
            if kind == "object" and apart and mixed:
                widths[-1] += widths[0]
        if cycle >= 0:
            self._forbid_doubling(sum(map(self._leads_back(cycle), mixed)))
        return max(widths) + widths[0]

    def _forbid_doubling(self, back: int) -> None:
        if back > 1:
            raise self._wrong("leads back to itself in two alternatives that begin alike")

    def _leads_back(self, cycle: int) -> Any:
        return lambda node: any(self.cycles.get(one) == cycle for one in self._measure(node).references)

    def _kind(self, node: Any) -> str:
        for _ in range(32):
            if not isinstance(node, dict):
                return "other"
            if "$ref" not in node:
                break
            node = self.targets[node["$ref"]]
        else:
            return "mixed"
        kind = node.get("type")
        if any(key in node for key in ("oneOf", "anyOf", "allOf")) or isinstance(kind, list):
            return "mixed"
        if isinstance(kind, str):
            return kind if kind in ("object", "array") else "other"
        return "object" if "properties" in node else "array" if "items" in node else "mixed"

    def _told_apart(self, members: list[Any]) -> bool:
        """Whether objects differ in their first key, or in the one value that it must have."""
        firsts = [self._first_key(member) for member in members]
        return len(members) == 1 or (None not in firsts and len(set(firsts)) == len(firsts))

    def _first_key(self, node: Any) -> str | None:
        for _ in range(32):
            if isinstance(node, dict) and "$ref" in node:
                node = self.targets[node["$ref"]]
        if not isinstance(node, dict) or not isinstance(node.get("properties"), dict):
            return None
        required = node.get("required")
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        key = next((name for name in node["properties"] if name in names), None)
        if key is None:
            return None
        value = node["properties"][key]
        if isinstance(value, dict):
            said = value.get("const", value["enum"][0] if _single(value.get("enum")) else None)
            return f"{key}={said}" if isinstance(said, str) else f"{key}="
        return None


_PAIRS = (("minItems", "maxItems"), ("minLength", "maxLength"))


def _single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) else None


def _optional(node: dict[str, Any]) -> int:
    """How many properties an object may be without."""
    properties, required = node.get("properties"), node.get("required")
    if not isinstance(properties, dict):
        return 0
    names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    return len(properties) - len(properties.keys() & names)


def _types(node: dict[str, Any]) -> int:
    kinds = node.get("type")
    return max(len(kinds), 1) if isinstance(kinds, list) else 1


def _repeats_types(node: dict[str, Any]) -> bool:
    """Whether a list of types names one twice, or two that begin alike."""
    kinds = [str(one) for one in node["type"]]
    return len(set(kinds)) < len(kinds)


def _structure(node: dict[str, Any]) -> Iterator[Any]:
    """The nodes inside of an object or a list."""
    if isinstance(node.get("properties"), dict):
        yield from node["properties"].values()
    for key in _ONES:
        value = node.get(key)
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from value


def _children(node: dict[str, Any]) -> Iterator[Any]:
    """All nodes that the engine may build below one."""
    yield from _structure(node)
    for key in ("oneOf", "anyOf", "allOf"):
        if isinstance(node.get(key), list):
            yield from node[key]
