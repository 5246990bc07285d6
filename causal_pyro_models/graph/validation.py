"""What a causal graph is built from, checked: names, pairs of names, and the absence of cycles."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from causal_pyro_models.errors import GraphError, unknown_variable

Edge = tuple[str, str]
Names = str | Iterable[str]
"""One name, which stands for a set of one, or several."""


def checked_names(variables: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple: distinct, non-empty strings."""
    if isinstance(variables, str) or not isinstance(variables, Iterable):
        raise GraphError(f"variables must be a collection of names, got {variables!r}. Write [{variables!r}] for one.")
    names = tuple(variables)
    seen = set()
    for name in names:
        _check_string(name)
        if name in seen:
            raise GraphError(f"variable {name!r} is listed twice. Names must be distinct: drop or rename one.")
        seen.add(name)
    return names


def _check_string(name: object) -> None:
    if not isinstance(name, str) or not name:
        what = "empty" if isinstance(name, str) else f"of type {type(name).__name__}"
        raise GraphError(f"variable {name!r} is {what}, expected a non-empty string. Rename it, say {f'V{name}'!r}.")


def collected(pairs: Iterable[Edge]) -> list[Edge]:
    """The pairs as a list."""
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise GraphError(f"edges must be a collection of pairs of names, got {pairs!r}.")
    return list(pairs)


def checked_edges(pairs: Iterable[Edge], index: Mapping[str, int], arrow: str) -> tuple[Edge, ...]:
    """The pairs sorted by the order of the variables: known ends, no self-loop, none twice.

    Args:
        pairs: the edges; ``arrow`` is "->" or "<->", and pairs of the latter are unordered.
        index: the position of each variable.
    """
    edges: set[Edge] = set()
    for pair in collected(pairs):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise GraphError(f"edge {pair!r} is not a pair of names. Write an edge X {arrow} Y as ('X', 'Y').")
        a, b = pair
        for name in (a, b):
            _check_string(name)
            if name not in index:
                raise unknown_variable(name, index)
        if a == b:
            raise GraphError(f"self-loop {a!r} {arrow} {a!r}: a variable cannot point at itself. Drop the edge.")
        edge = (b, a) if arrow == "<->" and index[b] < index[a] else (a, b)
        if edge in edges:
            raise GraphError(f"edge {a!r} {arrow} {b!r} is given twice. Drop one.")
        edges.add(edge)
    return tuple(sorted(edges, key=lambda edge: (index[edge[0]], index[edge[1]])))


def checked_sets(variables: Iterable[str], **sets: Names) -> tuple[frozenset[str], ...]:
    """Sets of names, each by the argument it came in: known, and disjoint from one another."""
    known = dict.fromkeys(variables)
    found = {}
    for argument, names in sets.items():
        members = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
        for name in members:
            if not isinstance(name, str) or name not in known:
                raise unknown_variable(name, known)
        found[argument] = frozenset(members)
    for (a, first), (b, second) in combinations(found.items(), 2):
        if both := first & second:
            raise GraphError(f"{sorted(both)} is in {a} and in {b}: the sets must be disjoint. Drop it from one.")
    return tuple(found.values())


def layers(parents: Mapping[str, Sequence[str]], children: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The variables by the length of the longest directed path into them (Kahn's algorithm, a layer at a time).

    Raises:
        GraphError: where the graph has a cycle, which the message spells out.
    """
    waiting = {v: len(above) for v, above in parents.items()}
    rank = {v: i for i, v in enumerate(parents)}
    result = []
    layer = [v for v, count in waiting.items() if not count]
    while layer:
        result.append(tuple(layer))
        following = []
        for v in layer:
            del waiting[v]
            for child in children[v]:
                waiting[child] -= 1
                if not waiting[child]:
                    following.append(child)
        layer = sorted(following, key=rank.__getitem__)
    if waiting:
        cycle = " -> ".join(map(repr, _cycle_among(waiting, parents)))
        raise GraphError(f"the directed edges hold a cycle: {cycle}. Drop or turn round one of its edges.")
    return tuple(result)


def _cycle_among(rest: Mapping[str, int], parents: Mapping[str, Sequence[str]]) -> list[str]:
    """A cycle through variables that each have a parent among ``rest``, closed: its first name comes last again."""
    v = next(iter(rest))
    position: dict[str, int] = {}
    while v not in position:
        position[v] = len(position)
        v = next(p for p in parents[v] if p in rest)
    return [v, *reversed(list(position)[position[v] :])]
