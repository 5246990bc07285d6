"""Construction, relations, surgery, projection and identity of causal graphs."""

import copy
import itertools
import subprocess
import sys

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st

from causal_pyro_models.errors import GraphError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from tests.generators import examples
from tests.graph.oracles import disjoint_queries
from tests.graph.random_graphs import random_graph, random_subset, shuffled


@pytest.fixture
def napkin():
    """The napkin graph of Pearl and Mackenzie (2018), its variables listed backwards."""
    return CausalGraph(["Y", "X", "R", "W"], [("W", "R"), ("R", "X"), ("X", "Y")], [("W", "X"), ("W", "Y")])


class TestConstruction:
    def test_order_of_the_arguments_does_not_matter(self):
        one = CausalGraph(["A", "B", "C"], [("A", "B"), ("B", "C")], [("A", "C")])
        other = CausalGraph(iter(["C", "B", "A"]), iter([("B", "C"), ["A", "B"]]), [("C", "A")])
        assert one == other and hash(one) == hash(other)

    def test_fields_follow_the_order_of_the_variables(self, napkin):
        assert napkin.variables == ("Y", "X", "R", "W")
        assert napkin.edges == (("X", "Y"), ("R", "X"), ("W", "R"))
        assert napkin.bidirected == (("Y", "W"), ("X", "W"))

    def test_the_empty_graph(self):
        graph = CausalGraph([], [])
        assert graph.topological_order == graph.generations == graph.districts == ()
        assert repr(graph) == "CausalGraph()"
        assert graph.do([]) == graph.subgraph([]) == graph.latent_projection([]) == graph

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("XY", []), r"collection of names, got 'XY'"),
            ((None, []), r"collection of names, got None"),
            ((["X", 3], []), r"variable 3 is of type int.*'V3'"),
            ((["X", ""], []), r"variable '' is empty"),
            ((["X", "X"], []), r"'X' is listed twice"),
            ((["X", "Y"], [("X", "X")]), r"self-loop 'X' -> 'X'"),
            ((["X", "Y"], [], [("X", "X")]), r"self-loop 'X' <-> 'X'"),
            ((["X", "Y"], [("X", "Y"), ("X", "Y")]), r"'X' -> 'Y' is given twice"),
            ((["X", "Y"], [], [("X", "Y"), ("Y", "X")]), r"'Y' <-> 'X' is given twice"),
            ((["X", "Y"], ["XY"]), r"edge 'XY' is not a pair.*\('X', 'Y'\)"),
            ((["X", "Y"], [("X", "Y", "X")]), r"is not a pair"),
            ((["X", "Y"], [7]), r"edge 7 is not a pair"),
            ((["X", "Y"], "XY"), r"edges must be a collection of pairs"),
            ((["X", "Y"], None), r"edges must be a collection of pairs"),
            ((["X", "Y"], [("X", 1)]), r"variable 1 is of type int"),
            ((["X", "Y"], [("X", "Y"), ("Y", "X")]), r"cycle: 'X' -> 'Y' -> 'X'"),
        ],
    )
    def test_what_cannot_be_a_graph(self, arguments, message):
        with pytest.raises(GraphError, match=message):
            CausalGraph(*arguments)

    def test_a_misspelt_end_suggests_the_nearest_name(self):
        with pytest.raises(UnknownVariableError, match=r"unknown variable 'outcme'\. Did you mean 'outcome'"):
            CausalGraph(["dose", "outcome"], [("dose", "outcme")])

    @settings(max_examples=100)
    @given(st.lists(st.tuples(*[st.sampled_from("ABCDEF")] * 2).filter(lambda e: e[0] != e[1]), unique=True))
    def test_every_cycle_is_found_and_the_one_named_is_there(self, edges):
        cyclic = not nx.is_directed_acyclic_graph(nx.DiGraph(edges))
        if not cyclic:
            CausalGraph(list("ABCDEF"), edges)
            return
        with pytest.raises(GraphError, match="cycle") as caught:
            CausalGraph(list("ABCDEF"), edges)
        names = str(caught.value).split("cycle: ")[1].split(". ")[0].replace("'", "").split(" -> ")
        assert names[0] == names[-1] and len(set(names)) == len(names) - 1
        assert set(itertools.pairwise(names)) <= set(edges)


class TestRelations:
    @examples(100)
    def test_against_networkx(self, rng):
        graph = random_graph(rng, 9, least=0)
        directed, confounded = nx.DiGraph(graph.edges), nx.Graph(graph.bidirected)
        directed.add_nodes_from(graph.variables)
        confounded.add_nodes_from(graph.variables)
        place = graph.variables.index
        for v in graph.variables:
            assert graph.parents(v) == tuple(sorted(directed.predecessors(v), key=place))
            assert graph.children(v) == tuple(sorted(directed.successors(v), key=place))
            assert graph.siblings(v) == tuple(sorted(confounded[v], key=place))
            assert graph.ancestors(v) == nx.ancestors(directed, v) | {v}
            assert graph.descendants([v]) == nx.descendants(directed, v) | {v}
            assert graph.district(v) == nx.node_connected_component(confounded, v)
        expected = [tuple(sorted(layer, key=place)) for layer in nx.topological_generations(directed)]
        assert list(graph.generations) == expected
        assert sorted(map(sorted, graph.districts)) == sorted(map(sorted, nx.connected_components(confounded)))

    @examples(100)
    def test_the_topological_order_puts_causes_first(self, rng):
        graph = random_graph(rng, 9, least=0)
        place = {v: i for i, v in enumerate(graph.topological_order)}
        assert sorted(place) == sorted(graph.variables) and len(place) == len(graph.topological_order)
        assert all(place[a] < place[b] for a, b in graph.edges)

    @examples(50)
    def test_relatives_of_a_set_are_those_of_its_members(self, rng):
        graph = random_graph(rng, 6, least=0)
        vs = random_subset(rng, graph.variables)
        assert graph.ancestors(vs) == frozenset().union(*map(graph.ancestors, vs))
        assert graph.descendants(iter(vs)) == frozenset().union(*map(graph.descendants, vs))

    @examples(50)
    def test_moral_graph_and_blanket_of_a_dag(self, rng):
        graph = random_graph(rng, 8, confounded=False, least=0)
        expected = nx.moral_graph(graph.to_networkx())
        assert set(graph.moral()) == set(expected)
        assert set(map(frozenset, graph.moral().edges)) == set(map(frozenset, expected.edges))
        for v in graph.variables:
            spouses = {p for child in graph.children(v) for p in graph.parents(child)}
            assert graph.markov_blanket(v) == {*graph.parents(v), *graph.children(v), *spouses} - {v}

    def test_the_napkin(self, napkin):
        assert napkin.districts == (frozenset("YXW"), frozenset("R"))
        assert napkin.generations == (("W",), ("R",), ("X",), ("Y",))
        assert napkin.markov_blanket("R") == set("WXY")

    @pytest.mark.parametrize("wrong", ["Dsoe", None, 3, ["Dose"]])
    @pytest.mark.parametrize("relation", ["parents", "children", "siblings", "district", "markov_blanket"])
    def test_unknown_names(self, relation, wrong):
        with pytest.raises(UnknownVariableError, match="variables are: Dose, Y"):
            getattr(CausalGraph(["Dose", "Y"], []), relation)(wrong)

    @pytest.mark.parametrize("wrong", ["Dsoe", None, 3, ["Dose", "Dsoe"], [["Dose"]]])
    @pytest.mark.parametrize(
        "relation", ["ancestors", "descendants", "do", "remove_outgoing", "subgraph", "latent_projection"]
    )
    def test_unknown_names_in_sets(self, relation, wrong):
        with pytest.raises(UnknownVariableError, match="variables are: Dose, Y"):
            getattr(CausalGraph(["Dose", "Y"], []), relation)(wrong)


class TestSurgery:
    @examples(100)
    def test_do_and_remove_outgoing(self, rng):
        graph = random_graph(rng, 6, least=0)
        xs, zs = random_subset(rng, graph.variables), random_subset(rng, graph.variables)
        cut = graph.do(xs).remove_outgoing(zs)
        assert cut == CausalGraph(
            graph.variables,
            [(a, b) for a, b in graph.edges if b not in xs and a not in zs],
            [(a, b) for a, b in graph.bidirected if a not in xs and b not in xs],
        )
        assert cut.variables == graph.variables
        assert graph.do(xs).do(xs) == graph.do(xs)

    @examples(100)
    def test_subgraph(self, rng):
        graph = random_graph(rng, 6, least=0)
        kept = random_subset(rng, graph.variables)
        part = graph.subgraph(kept)
        assert part.variables == tuple(v for v in graph.variables if v in kept)
        assert set(part.edges) == {edge for edge in graph.edges if set(edge) <= set(kept)}
        assert set(part.bidirected) == {pair for pair in graph.bidirected if set(pair) <= set(kept)}
        assert part == CausalGraph(part.variables, part.edges, part.bidirected)

    def test_relations_are_those_after_the_surgery(self, napkin):
        assert napkin.parents("X") == ("R",)
        assert napkin.do("X").parents("X") == napkin.do("X").siblings("X") == ()
        assert napkin.do("X").districts == (frozenset("YW"), frozenset("X"), frozenset("R"))
        assert napkin.remove_outgoing("X").descendants("X") == {"X"}


class TestLatentProjection:
    @examples(120)
    def test_ancestors_and_separations_are_preserved(self, rng):
        graph = random_graph(rng, 7, least=0)
        kept = random_subset(rng, graph.variables)
        projected = graph.latent_projection(kept)
        assert set(projected.variables) == kept
        for v in kept:
            assert projected.ancestors(v) == graph.ancestors(v) & kept
        for x, y, z in disjoint_queries(projected.variables):
            assert projected.m_separated(x, y, z) == graph.m_separated(x, y, z)

    @examples(80)
    def test_hiding_in_two_steps_is_hiding_at_once(self, rng):
        graph = random_graph(rng, 7, least=0)
        first = random_subset(rng, graph.variables)
        second = random_subset(rng, first)
        assert graph.latent_projection(first).latent_projection(second) == graph.latent_projection(second)
        assert graph.latent_projection(graph.variables) == graph

    @examples(80)
    def test_it_undoes_the_canonical_dag(self, rng):
        graph = random_graph(rng, 6, least=0)
        hidden = {f"hidden {a} {b}": (a, b) for a, b in graph.bidirected}
        arrows = [(u, v) for u, ends in hidden.items() for v in ends]
        canonical = CausalGraph([*hidden, *graph.variables], [*graph.edges, *arrows])
        assert canonical.latent_projection(graph.variables) == graph

    @examples(80)
    def test_it_commutes_with_do(self, rng):
        graph = random_graph(rng, 6, least=0)
        kept = random_subset(rng, graph.variables)
        xs = random_subset(rng, kept)
        assert graph.do(xs).latent_projection(kept) == graph.latent_projection(kept).do(xs)

    def test_a_chain_of_confounders(self):
        graph = CausalGraph(["X", "U", "W", "Y"], [("U", "X"), ("W", "Y")], [("U", "W")])
        assert graph.latent_projection(["X", "Y"]) == CausalGraph(["X", "Y"], [], [("X", "Y")])


class TestIdentity:
    @examples(50)
    def test_equality_and_hash(self, rng):
        graph = random_graph(rng, 6, least=0)
        again = CausalGraph(
            shuffled(rng, graph.variables), shuffled(rng, graph.edges), [pair[::-1] for pair in graph.bidirected]
        )
        assert again == graph and hash(again) == hash(graph)
        assert copy.deepcopy(graph) == graph and hash(copy.deepcopy(graph)) == hash(graph)

    def test_differences(self):
        base = CausalGraph(["X", "Y"], [("X", "Y")])
        others = [
            CausalGraph(["X", "Y"], [("Y", "X")]),
            CausalGraph(["X", "Y"], []),
            CausalGraph(["X", "Y", "Z"], [("X", "Y")]),
            CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")]),
            CausalGraph(["X", "Y"], [], [("X", "Y")]),
        ]
        assert len({base, *others}) == 6
        assert base != "CausalGraph(X -> Y)"

    def test_immutable(self, napkin):
        with pytest.raises(AttributeError, match="immutable"):
            napkin.variables = ()
        with pytest.raises(AttributeError, match="immutable"):
            del napkin.edges

    def test_repr(self, napkin):
        assert repr(napkin) == "CausalGraph(X -> Y, R -> X, W -> R, Y <-> W, X <-> W)"
        assert repr(CausalGraph(["Z", "X", "Y"], [("X", "Y")])) == "CausalGraph(Z, X -> Y)"
        assert repr(CausalGraph([f"V{i}" for i in range(100)], [])).endswith("V39, ... 60 more)")


def test_graphs_need_no_torch():
    code = "import sys, causal_pyro_models.graph; print({'torch', 'pyro', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
