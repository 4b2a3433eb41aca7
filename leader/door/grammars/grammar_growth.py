"""How much work a grammar makes for the engine, told from the grammar alone. Pure.

The engine follows all readings of what was written so far at once: it keeps a stack for each, and looks at
all of them for each token. Where two alternatives may begin with the same character both live on; where such
a choice leads back to itself, their number doubles with every turn. Before, it looks for rules that begin
with themselves, and walks each way to the leftmost symbol anew. Both are bounded here: `width` is the number
of readings at a time, `ways` that of walks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from leader.door.grammars.char_sets import ANY, NONE, Chars, common, overlap, union
from leader.door.grammars.grammar_rules import Effort, Rules, Sequence, Symbol
from leader.door.grammars.grammar_runs import Runs
from leader.door.orders import Unacceptable

MOST_RULES = 4096
MOST_ELEMENTS = 50_000
MOST_WIDTH = 1024
MOST_WAYS = 200_000
MOST_REPEATS = 2000
"""The engine's own bound of a repetition; beyond it, it knows no end."""
MOST_POINTS = 8
"""Characters with which a doubtful rule is tried."""
FEW = 32
"""Alternatives that are compared one by one; of more, all count as beginning alike."""


@dataclass(slots=True)
class _Shape:
    """What is known of a rule."""

    empty: bool = False
    first: Chars = NONE
    more: Chars = NONE
    """What may go on within it where it might also have ended."""
    width: int = 1
    ways: int = 1
    size: int = 1
    doubts: frozenset[int] = frozenset()
    """Characters at which it, or what it is made of, may be read in more than one way."""


_CHARACTER = _Shape()


@dataclass(slots=True)
class _Group:
    """Readings that live at the same time: how many, and how many of them lead back to where they are."""

    width: int = 0
    inner: int = 0


@dataclass(slots=True)
class Growth:
    """The measures of all rules, found rule by rule from those that refer to no other."""

    rules: Rules
    name: str
    shapes: list[_Shape] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    _runs: Runs = field(init=False)
    _doubtful: dict[int, set[int]] = field(default_factory=dict)

    def check(self) -> None:
        """Unacceptable, naming the field, where the engine would stand still or fall over it."""
        if len(self.rules) > MOST_RULES:
            raise Unacceptable(self.name, f"has more than {MOST_RULES} rules")
        self.shapes = [_Shape() for _ in self.rules]
        self._runs = Runs(self.rules, self.name, self.effort)
        size = ways = 0
        self.effort.spend(sum(map(len, self.rules)), self.name)
        for component in components([_references(rule) for rule in self.rules]):
            self._measure(component)
            for rule in component:
                size += self.shapes[rule].size
                ways += self._walks(rule)
                self._follow_runs(rule, len(component) > 1)
            if size > MOST_ELEMENTS:
                raise Unacceptable(self.name, f"has more than {MOST_ELEMENTS} elements, repetitions counted")
            if ways > MOST_WAYS:
                raise Unacceptable(self.name, "has too many ways to begin")

    def _measure(self, component: list[int]) -> None:
        inner = set(component)
        recursive = len(component) > 1 or component[0] in _references(self.rules[component[0]])
        for _ in range(2 * len(component) + 2 if recursive else 1):
            changed = [self._spread(rule) for rule in component]
            if not any(changed):
                break
        if recursive and len(component) > 256:
            raise Unacceptable(self.name, "has more than 256 rules that refer to each other")
        self._forbid_left_recursion(component, inner)
        self._doubt(component)
        tails = recursive and all(self._only_tails(rule, inner) for rule in component)
        for rule in component:
            shape = self.shapes[rule]
            shape.size = sum(map(self._size, [one for each in self.rules[rule] for one in each])) + len(
                self.rules[rule]
            )
        widths = [self._width(rule, inner if recursive else set(), tails) for rule in component]
        width = sum(widths) if tails else max(widths)
        if width > MOST_WIDTH:
            raise Unacceptable(self.name, "can be read in too many ways at once")
        for rule in component:
            self.shapes[rule].width = width

    def _spread(self, rule: int) -> bool:
        shape = self.shapes[rule]
        empty, first, more = shape.empty, shape.first, shape.more
        for sequence in self.rules[rule]:
            is_empty, begins, goes_on = self._of_sequence(sequence)
            empty, first, more = empty or is_empty, union(first, begins), union(more, goes_on)
        changed = (empty, first, more) != (shape.empty, shape.first, shape.more)
        shape.empty, shape.first, shape.more = empty, first, more
        return changed

    def _of_sequence(self, sequence: Sequence) -> tuple[bool, Chars, Chars]:
        empty, first, more = True, NONE, NONE
        for symbol in sequence:
            is_empty, begins, goes_on = self._of_symbol(symbol)
            if empty:
                first = union(first, begins)
            more = union(goes_on, union(more, begins)) if is_empty else goes_on
            empty = empty and is_empty
        return empty, first, more

    def _of_symbol(self, symbol: Symbol) -> tuple[bool, Chars, Chars]:
        if symbol.rule < 0:
            empty, first, more = False, symbol.chars, NONE
        else:
            shape = self.shapes[symbol.rule]
            empty, first, more = shape.empty, shape.first, shape.more
        if symbol.high is None or symbol.high > symbol.low or (empty and symbol.high > 1):
            more = union(more, first)
        return empty or symbol.low == 0, first, more

    def _forbid_left_recursion(self, component: list[int], inner: set[int]) -> None:
        leading = {rule: self._leading(rule) for rule in component}
        order = components_of({rule: [one for one in refs if one in inner] for rule, refs in leading.items()})
        for group in order:
            rule = group[0]
            if len(group) > 1 or rule in leading[rule]:
                raise Unacceptable(self.name, "has a rule that begins with itself")
            self.shapes[rule].ways = 1 + sum(self.shapes[one].ways for one in leading[rule])
            if self.shapes[rule].ways > MOST_WAYS:
                raise Unacceptable(self.name, "has too many ways to begin")

    def _leading(self, rule: int) -> list[int]:
        """The rules that a rule may begin with, as often as it may."""
        found = []
        for sequence in self.rules[rule]:
            for symbol in sequence:
                is_empty, _, _ = self._of_symbol(symbol)
                if symbol.rule >= 0 and symbol.high != 0:
                    body_empty = self.shapes[symbol.rule].empty
                    if body_empty and symbol.high is None:
                        raise Unacceptable(self.name, "repeats without end what may be nothing")
                    found += [symbol.rule] * (symbol.high or 1 if body_empty else 1)
                    if len(found) > MOST_WAYS:
                        raise Unacceptable(self.name, "has too many ways to begin")
                if not is_empty:
                    break
        return found

    def _walks(self, rule: int) -> int:
        """The engine's walks to the leftmost symbols of a rule and of those it makes of repetitions."""
        repeated = sum(
            (symbol.high or 1) * self.shapes[symbol.rule].ways
            for sequence in self.rules[rule]
            for symbol in sequence
            if symbol.rule >= 0 and symbol.high != symbol.low
        )
        return self.shapes[rule].ways + repeated

    # --- what may be read in more than one way

    def _doubt(self, component: list[int]) -> None:
        doubts = frozenset(
            point
            for rule in component
            for point in (
                *self._own_doubts(rule),
                *(p for s in self._symbols(rule) for p in self._of(s).doubts),
            )
        )
        for rule in component:
            self.shapes[rule].doubts = frozenset(sorted(doubts)[:MOST_POINTS])

    def _symbols(self, rule: int) -> list[Symbol]:
        return [symbol for sequence in self.rules[rule] for symbol in sequence]

    def _of(self, symbol: Symbol) -> _Shape:
        return self.shapes[symbol.rule] if symbol.rule >= 0 else _CHARACTER

    def _own_doubts(self, rule: int) -> set[int]:
        if rule not in self._doubtful:
            self._doubtful[rule] = self._found_doubts(rule)
        return self._doubtful[rule]

    def _found_doubts(self, rule: int) -> set[int]:
        found: set[int] = set()
        seen = NONE
        alternatives = self.rules[rule]
        if len(alternatives) > FEW:
            found |= common(self.shapes[rule].first, ANY)
        for sequence in alternatives:
            if len(alternatives) <= FEW:
                _, begins, _ = self._of_sequence(sequence)
                found |= common(seen, begins)
                seen = union(seen, begins)
            open_to = NONE
            for symbol in sequence:
                is_empty, first, goes_on = self._of_symbol(symbol)
                found |= common(open_to, first) | self._turn_doubts(symbol)
                open_to = union(goes_on, union(open_to, first)) if is_empty else goes_on
        return found

    def _turn_doubts(self, symbol: Symbol) -> set[int]:
        """Where one turn of a repetition may go on with what the next begins with."""
        shape = self._of(symbol)
        if symbol.high == 1 or symbol.rule < 0:
            return set()
        return common(shape.more, shape.first) | (common(shape.first, shape.first) if shape.empty else set())

    def _follow_runs(self, rule: int, recursive: bool) -> None:
        points = self.shapes[rule].doubts
        if not points:
            return
        if recursive or self._own_doubts(rule):
            self._runs.check(Symbol(rule=rule), set(points))
        for symbol in self._symbols(rule):
            if (
                symbol.rule >= 0
                and symbol.high != 1
                and (self._of(symbol).doubts or self._turn_doubts(symbol))
            ):
                self._runs.check(symbol, set(points))

    def _size(self, symbol: Symbol) -> int:
        high = symbol.high if symbol.high is not None else symbol.low + 1
        return max(len(symbol.chars), 1) * max(high, 1) + 3 * (high - symbol.low)

    def _only_tails(self, rule: int, inner: set[int]) -> bool:
        return all(
            symbol.rule not in inner or (symbol is sequence[-1] and symbol.high == 1)
            for sequence in self.rules[rule]
            for symbol in sequence
        )

    def _width(self, rule: int, inner: set[int], tails: bool) -> int:
        alternatives = [self._alternative(sequence, inner, tails) for sequence in self.rules[rule]]
        groups = self._together(alternatives, inner, tails)
        return max((group.width for group in groups), default=1)

    def _together(
        self, alternatives: list[tuple[Chars, _Group]], inner: set[int], tails: bool
    ) -> Iterator[_Group]:
        if len(alternatives) > FEW:
            groups = [[group for _, group in alternatives]]
        else:
            points = {low for first, _ in alternatives for low, _ in first}
            groups = [
                [group for first, group in alternatives if overlap(first, ((point, point),))]
                for point in points
            ]
        for members in groups:
            group = _Group(sum(one.width for one in members), sum(bool(one.inner) for one in members))
            self._forbid_doubling(group, tails)
            yield group

    def _alternative(self, sequence: Sequence, inner: set[int], tails: bool) -> tuple[Chars, _Group]:
        widest, now, open_to, inside = 1, _Group(), NONE, False
        for symbol in sequence:
            is_empty, begins, goes_on = self._of_symbol(symbol)
            one = self._repeated(symbol, inner, tails)
            inside = inside or bool(one.inner)
            if overlap(open_to, begins):
                now = _Group(now.width + one.width, now.inner + one.inner)
                self._forbid_doubling(now, tails)
            else:
                now = one
            widest = max(widest, now.width)
            open_to = union(goes_on, union(open_to, begins)) if is_empty else goes_on
        return self._of_sequence(sequence)[1], _Group(widest, int(inside))

    def _repeated(self, symbol: Symbol, inner: set[int], tails: bool) -> _Group:
        if symbol.rule < 0:
            return _Group(1)
        shape = self.shapes[symbol.rule]
        group = _Group(1 if symbol.rule in inner else shape.width, int(symbol.rule in inner))
        # Where one turn may go on with what the next begins with, each turn is one more reading.
        if (symbol.high is None or symbol.high > 1) and (shape.empty or overlap(shape.more, shape.first)):
            turns = symbol.low + 1 if symbol.high is None else symbol.high
            group = _Group(group.width * max(turns, 1), group.inner * 2)
            self._forbid_doubling(group, tails)
        return group

    def _forbid_doubling(self, group: _Group, tails: bool) -> None:
        if group.inner > 1 and not tails:
            raise Unacceptable(
                self.name, "has rules that lead back to themselves in two ways that begin alike"
            )
        if group.width > MOST_WIDTH:
            raise Unacceptable(self.name, "can be read in too many ways at once")


def _references(rule: tuple[Sequence, ...]) -> list[int]:
    return [symbol.rule for sequence in rule for symbol in sequence if symbol.rule >= 0]


def components(edges: list[list[int]]) -> list[list[int]]:
    """The strongly connected parts of a graph, those first that others lead to."""
    return components_of(dict(enumerate(edges)))


def components_of(edges: dict[int, list[int]]) -> list[list[int]]:
    """As ``components``, of nodes with any numbers. Tarjan's, without recursion: chains are long."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    held: set[int] = set()
    pile: list[int] = []
    found: list[list[int]] = []
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(edges[root]))]
        index[root] = low[root] = len(index)
        pile.append(root)
        held.add(root)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    pile.append(other)
                    held.add(other)
                    work.append((other, iter(edges[other])))
                    break
                if other in held:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = pile[pile.index(node) :] if pile[-1] != node else [node]
                    del pile[-len(part) :]
                    held.difference_update(part)
                    found.append(part)
    return found
