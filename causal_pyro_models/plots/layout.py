"""A layered layout of a graph: causes above effects, few crossings, edges clear of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from causal_pyro_models.graph import CausalGraph

Point = tuple[float, float]
GAP = 1.6  # between neighbours in a layer
LAYER = 4.2  # between layers
SWEEPS = 24


def layered(
    graph: CausalGraph, widths: Mapping[str, float]
) -> tuple[dict[str, Point], dict[tuple[str, str], list[Point]]]:
    """Positions of the variables, and the points that each directed edge goes through, both ends included.

    An edge over several layers goes through a dummy node in each, which keeps its place free. Orders by barycentres,
    then pulls every node to the mean of its neighbours as far as its order allows.

    Args:
        graph: any causal graph; bidirected edges have no say.
        widths: of each variable.

    References:
        Sugiyama, Tagawa and Toda (1981), Methods for visual understanding of hierarchical system structures.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y")])
        >>> places, routes = layered(graph, dict.fromkeys("XMY", 1.0))
        >>> [places[v][1] for v in "MY"], len(routes["X", "Y"])
        ([-4.2, -8.4], 3)
    """
    depth = {v: i for i, layer in enumerate(graph.generations) for v in layer}
    layers: list[list[str]] = [list(layer) for layer in graph.generations]
    chains = {}
    for a, b in graph.edges:
        dummies = [f"{a}\0{b}\0{i}" for i in range(depth[a] + 1, depth[b])]
        for i, dummy in enumerate(dummies, depth[a] + 1):
            layers[i].append(dummy)
        chains[a, b] = [a, *dummies, b]
    above: dict[str, list[str]] = {v: [] for layer in layers for v in layer}
    below: dict[str, list[str]] = {v: [] for layer in layers for v in layer}
    for chain in chains.values():
        for a, b in pairwise(chain):
            below[a].append(b)
            above[b].append(a)
    layers = _ordered(layers, above, below)
    x = _placed(layers, above, below, widths)
    y = {v: -LAYER * i for i, layer in enumerate(layers) for v in layer}
    routes = {edge: [(x[v], y[v]) for v in chain] for edge, chain in chains.items()}
    return {v: (x[v], y[v]) for v in graph.variables}, routes


def _ordered(
    layers: list[list[str]], above: Mapping[str, list[str]], below: Mapping[str, list[str]]
) -> list[list[str]]:
    """The order in each layer with the fewest crossings that sweeps down and up come by."""
    best, fewest = layers, crossings(layers, below)
    for sweep in range(SWEEPS):
        towards, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        done = [order[0]]
        for layer in order[1:]:
            place = {v: i for i, v in enumerate(done[-1])}
            own = {v: i for i, v in enumerate(layer)}
            centre = {v: sum(place[n] for n in towards[v]) / len(towards[v]) if towards[v] else own[v] for v in layer}
            done.append(sorted(layer, key=lambda v: (centre[v], own[v])))
        layers = done if sweep % 2 == 0 else done[::-1]
        if (count := crossings(layers, below)) < fewest:
            best, fewest = layers, count
    return best


def crossings(layers: list[list[str]], below: Mapping[str, list[str]]) -> int:
    """How many pairs of edges between neighbouring layers cross."""
    total = 0
    for upper, lower in pairwise(layers):
        place = {v: i for i, v in enumerate(lower)}
        ends = [place[b] for a in upper for b in sorted(below[a], key=place.__getitem__)]
        total += sum(left > right for i, left in enumerate(ends) for right in ends[i + 1 :])
    return total


def _placed(
    layers: list[list[str]], above: Mapping[str, list[str]], below: Mapping[str, list[str]], widths: Mapping[str, float]
) -> dict[str, float]:
    """Where each node goes from left to right, its order kept and its neighbours in the layer clear of it."""
    x: dict[str, float] = {}
    offsets: dict[int, list[float]] = {}
    for layer in layers:
        right = 0.0
        offset = offsets[id(layer)] = []
        for v in layer:
            half = widths.get(v, 0.4) / 2
            offset.append(right + half)
            right += 2 * half + GAP
        x |= {v: place - right / 2 for v, place in zip(layer, offset, strict=True)}
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = []
            for v, offset_v in zip(layer, offsets[id(layer)], strict=True):
                near = above[v] + below[v]
                wanted.append((sum(x[n] for n in near) / len(near) if near else x[v]) - offset_v)
            x |= {v: w + o for v, w, o in zip(layer, _monotone(wanted), offsets[id(layer)], strict=True)}
    return x


def _monotone(values: list[float]) -> list[float]:
    """The nearest ascending sequence in least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            total, count = total + blocks[-1][0], count + blocks[-1][1]
            blocks.pop()
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]
