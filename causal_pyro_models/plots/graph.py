"""Causal graphs drawn."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from causal_pyro_models.errors import DataError, QueryError
from causal_pyro_models.graph import GraphLike, as_graph
from causal_pyro_models.graph.validation import Edge
from causal_pyro_models.plots.layout import Point, layered
from causal_pyro_models.plots.style import BLUE, INK, VERMILLION, check_axes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_SIZE = 10.0  # points to a unit of the layout, where the figure is ours
HEIGHT = 1.9
LABEL = 0.95  # font size of a label, in units of the layout


@styled
def plot_graph(graph: GraphLike, ax: Axes | None = None) -> Axes:
    """A causal graph in layers, causes above effects; bidirected edges (hidden confounding) dashed.

    Args:
        graph: the graph.
        ax: where to draw; None for a new figure of fitting size.

    Returns:
        The axes.

    Raises:
        DataError: a graph without variables.
        QueryError: something else than a graph or axes.

    Example:
        >>> plot_graph("Z -> X -> Y; X <-> Y").get_aspect()
        1.0
    """
    import matplotlib.pyplot as plt
    from matplotlib.textpath import TextPath

    graph = as_graph(graph, QueryError)
    check_axes(ax)
    if not graph.variables:
        raise DataError("there is nothing to plot: the graph has no variables.")
    widths = {v: max(1.2, TextPath((0, 0), v, size=LABEL).get_extents().width) + 1.0 for v in graph.variables}
    places, routes = layered(graph, widths)
    route_xs = [x for route in routes.values() for x, _ in route]
    left = min([x - widths[v] / 2 for v, (x, _) in places.items()] + route_xs)
    right = max([x + widths[v] / 2 for v, (x, _) in places.items()] + route_xs)
    arcs = {pair: _arc(pair, places, widths) for pair in graph.bidirected}
    left = min([left, *(x for _, (x, _) in arcs.values())]) - 1.0
    right = max([right, *(x for _, (x, _) in arcs.values())]) + 1.0
    top = max([HEIGHT / 2, *(y for _, (_, y) in arcs.values())]) + 1.0
    bottom = min(y for _, y in places.values()) - HEIGHT / 2 - 1.0
    if ax is None:
        size = (right - left) * FONT_SIZE / 72, (top - bottom) * FONT_SIZE / 72
        ax = plt.figure(figsize=size, layout="none").add_axes((0, 0, 1, 1))
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_aspect("equal")
    ax.axis("off")
    room = ax.get_window_extent()
    points = min(room.width / (right - left), room.height / (top - bottom)) * 72 / ax.figure.dpi
    boxes = {v: _node(ax, v, places[v], widths[v], points) for v in graph.variables}
    ports = _ports(routes, widths)
    for edge, route in routes.items():
        passed = [(x, y + half) for x, y in route[1:-1] for half in (HEIGHT / 2, -HEIGHT / 2)]
        _edge(ax, [ports[edge][0], *passed, ports[edge][1]], points)
    for (a, b), (bulge, _) in arcs.items():
        _confounding(ax, (places[a], places[b]), (boxes[a], boxes[b]), bulge, points)
    return ax


def _node(ax: Axes, name: str, place: Point, width: float, points: float) -> Any:
    from matplotlib.patches import FancyBboxPatch

    corner = (place[0] - width / 2 + 0.5, place[1] - HEIGHT / 2 + 0.5)
    box = FancyBboxPatch(corner, width - 1, HEIGHT - 1, boxstyle="round,pad=0.5,rounding_size=0.6")
    box.set(facecolor="white", edgecolor=INK, linewidth=1.0, zorder=3)
    ax.add_patch(box)
    ax.text(*place, name, ha="center", va="center", fontsize=LABEL * points, color=INK, zorder=4)
    return box


def _ports(routes: Mapping[Edge, list[Point]], widths: Mapping[str, float]) -> dict[Edge, tuple[Point, Point]]:
    """Where each edge leaves its cause and enters its effect: side by side, in the order of where they lead."""
    ends: dict[tuple[str, int], list[tuple[float, Edge]]] = {}
    for edge, route in routes.items():
        ends.setdefault((edge[0], 0), []).append((route[1][0], edge))
        ends.setdefault((edge[1], 1), []).append((route[-2][0], edge))
    found: dict[tuple[Edge, int], Point] = {}
    for (v, side), neighbours in ends.items():
        step = min(0.9, (widths[v] - 0.8) / len(neighbours))
        for i, (_, edge) in enumerate(sorted(neighbours)):
            x, y = routes[edge][-1 if side else 0]
            found[edge, side] = x + (i - (len(neighbours) - 1) / 2) * step, y + (HEIGHT / 2 if side else -HEIGHT / 2)
    return {edge: (found[edge, 0], found[edge, 1]) for edge in routes}


def _edge(ax: Axes, route: list[Point], points: float) -> None:
    """An arrow through the points of a route, vertical at each so that it stays clear of the nodes beside it."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    vertices, codes = [route[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(route):  # where x0 is x1 this is a straight line
        bend = 0.5 * (y0 - y1)
        vertices += [(x0, y0 - bend), (x1, y1 + bend), (x1, y1)]
        codes += [Path.CURVE4] * 3
    arrow = FancyArrowPatch(path=Path(vertices, codes), arrowstyle="-|>", mutation_scale=0.9 * points)
    ax.add_patch(arrow)
    arrow.set(color=BLUE, linewidth=1.1, zorder=2, capstyle="butt")


def _arc(pair: Edge, places: Mapping[str, Point], widths: Mapping[str, float]) -> tuple[float, Point]:
    """How far an arc bulges to the right of its direction, relative to its length, and its apex: past the fewest nodes.

    The arc is a quadratic Bézier curve whose control point lies ``bulge`` lengths beside the middle.
    """
    (x0, y0), (x1, y1) = (places[v] for v in pair)
    others = [(places[v], widths[v] / 2) for v in places if v not in pair]

    def at(bulge: float, t: float) -> Point:
        beside = 2 * t * (1 - t) * bulge
        return x0 + t * (x1 - x0) + beside * (y1 - y0), y0 + t * (y1 - y0) - beside * (x1 - x0)

    def behind_nodes(bulge: float) -> int:
        points = [at(bulge, i / 20) for i in range(1, 20)]
        return sum(abs(px - x) < half and abs(py - y) < HEIGHT / 2 for px, py in points for (x, y), half in others)

    up = -1.0 if x0 < x1 else 1.0
    bulge = min((up * size for size in (0.35, -0.35, 0.6, -0.6)), key=behind_nodes)
    return bulge, at(bulge, 0.5)


def _confounding(ax: Axes, ends: tuple[Point, Point], boxes: tuple[Any, Any], bulge: float, points: float) -> None:
    """A dashed arc with two heads."""
    from matplotlib.patches import FancyArrowPatch

    clip = {"patchA": boxes[0], "patchB": boxes[1], "shrinkA": 0, "shrinkB": 0}
    arrow = FancyArrowPatch(*ends, arrowstyle="<|-|>", mutation_scale=0.9 * points, **clip)
    arrow.set_connectionstyle("arc3", rad=bulge)
    arrow.set(color=VERMILLION, linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
    ax.add_patch(arrow)
