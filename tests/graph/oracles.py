"""Definitions, written out slowly: what the algorithms of the graph package must agree with."""

import itertools

import networkx as nx


def is_m_connected(graph, x, y, given):
    """Whether an open path joins x and y: every path is enumerated and each variable on it judged by its edges."""
    arrows = {v: [] for v in graph.variables}  # v -> (w, arrowhead at v, arrowhead at w)
    for a, b in graph.edges:
        arrows[a].append((b, False, True))
        arrows[b].append((a, True, False))
    for a, b in graph.bidirected:
        arrows[a].append((b, True, True))
        arrows[b].append((a, True, True))
    directed = nx.DiGraph(graph.edges)
    directed.add_nodes_from(graph.variables)

    def open_at(v, into, out):
        if into and out:
            return v in given or any(d in given for d in nx.descendants(directed, v))
        return v not in given

    def walk(v, head_at_v, visited):
        for w, leaves_at_head, head_at_w in arrows[v]:
            if w in visited or (len(visited) > 1 and not open_at(v, head_at_v, leaves_at_head)):
                continue
            if w == y or walk(w, head_at_w, visited | {w}):
                return True
        return False

    return walk(x, False, {x})


def canonical_dag(graph):
    """The DAG in which every bidirected edge is a hidden common cause."""
    dag = nx.DiGraph(graph.edges)
    dag.add_nodes_from(graph.variables)
    for a, b in graph.bidirected:
        dag.add_edges_from([(("hidden", a, b), a), (("hidden", a, b), b)])
    return dag


def disjoint_queries(variables):
    """Every x, y and set of the others."""
    for x, y in itertools.combinations(variables, 2):
        rest = [v for v in variables if v not in (x, y)]
        for size in range(len(rest) + 1):
            for given in itertools.combinations(rest, size):
                yield x, y, set(given)
