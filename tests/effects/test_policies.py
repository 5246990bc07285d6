"""Effects of policies: equal to enumeration, and identified where the joint law of outcome and reads is."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import ate, cate, cde, nde, policy, potential
from causal_pyro_models.effects.queries import effect_queries
from causal_pyro_models.effects.question import Question
from causal_pyro_models.errors import NotIdentifiableError, QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import Symbol
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.scm.zoo.coupling import QUANTILE
from causal_pyro_models.scm.zoo.discrete import random_discrete
from tests.identification.oracles import random_admg, random_model, value_of


def looked_up(table, *names):
    rows = torch.as_tensor(table)
    return policy(lambda v: rows[tuple(v[name].long() for name in names)], names)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_an_effect_of_a_rule_is_the_enumerated_one(seed):
    """Each of 15 comparisons at 4.5 standard errors: one in 10,000 fails by chance."""
    scm = random_discrete(4, seed, cardinalities=(2, 3), coupling=QUANTILE)
    order = list(scm.parents)
    z, x, y = order[0], order[1], order[-1]
    rng = np.random.default_rng(seed)
    rule = rng.integers(0, scm.tables[x].shape[-1], scm.tables[z].shape[-1])
    law = scm.worlds({"seen": {}, **{int(v): {x: int(v)} for v in {*rule, 0}}}, variables=[z, y])
    column = {name: law.column(name) for name in law.names}
    under = np.choose(column[("seen", z)], [column[(int(v), y)] for v in rule])
    truth = law.probabilities @ (under - column[(0, y)])
    found = ate(scm, {x: (0, looked_up(rule, z))}, y, seed=seed, num_samples=20_000)
    assert abs(float(found.value) - truth) <= 4.5 * float(found.standard_error) + 1e-9


def basis_of(graph, model, treatment, outcome):
    return Question("ate", inspect_model(model), data_graph=graph).basis(effect_queries, treatment, outcome)


def enumerated(model, rules, reads, y):
    """P(Y = 1) under a plan, by running it in every state of the noise."""
    states, weights = model.states()
    values = {}
    for v in model.graph.topological_order:
        keys = [*(values[p] for p in model.graph.parents(v)), *(states[key] for key in (*model._confounders(v), v))]
        values[v] = model.functions[v][tuple(keys)]
        if v in rules:
            values[v] = rules[v][tuple(values[read] for read in reads[v])]
    return weights[values[y] == 1].sum()


def plans(order, seed):
    """One treatment, or two, that read what comes before; in every fourth case its natural value as well."""
    if seed % 4 == 3:
        return {order[2]: [order[0], order[2]]}
    return {x: [order[order.index(x) - 1]] for x in [order[1], order[3]][: 1 + seed % 2]}


def asked_of(graph, treatment, outcome):
    program = inspect_model(lambda: [pyro.sample(name, dist.Bernoulli(0.5)) for name in graph.topological_order])
    return Question("ate", program, data_graph=graph).basis(effect_queries, treatment, outcome)


@pytest.mark.parametrize("seed", range(60))
def test_where_a_plan_is_identified_the_estimand_gives_the_enumerated_law(seed):
    rng = np.random.default_rng(seed)
    graph = random_admg(5, rng, 0.5, 0.25)
    model = random_model(graph, rng)
    order = list(graph.topological_order)
    reads, y = plans(order, seed), order[-1]
    rules = {x: rng.integers(0, 2, (2,) * len(names)) for x, names in reads.items()}
    basis = asked_of(graph, {x: (0, looked_up(rules[x], *reads[x])) for x in reads}, y)
    assert basis.identified or basis.undecided
    if basis.identified:
        (estimand,) = basis.estimands
        assert law_of_plan(estimand, model, rules, reads, y) == pytest.approx(
            enumerated(model, rules, reads, y), abs=1e-9
        )


def law_of_plan(estimand, model, rules, reads, y):
    """The sum over what is read, of what the estimand says where each treatment is what its rule makes of it."""
    read = sorted({name for names in reads.values() for name in names})
    total = 0.0
    for state in np.ndindex(*(2,) * len(read)):
        seen = dict(zip(read, map(int, state), strict=True))
        done = {x: int(rule[tuple(seen[name] for name in reads[x])]) for x, rule in rules.items()}
        if any(done[x] != seen[x] for x in done if x in seen and x not in reads[x]):
            continue  # another policy reads what this one sets
        values = {Symbol(name): value for name, value in {**done, **seen, y: 1}.items()}
        values |= {Symbol(x, 1): value for x, value in done.items()}
        values = {**{symbol: 0 for symbol in estimand.arbitrary}, **values}
        total += value_of(estimand.expression, {("", frozenset()): model.joint()}, model.graph.variables, values)
    return total


def test_most_plans_without_hidden_causes_are_identified_and_some_with_them_are_not():
    told = {hidden: [] for hidden in (0.0, 0.4)}
    for seed in range(40):
        for hidden, found in told.items():
            graph = random_admg(5, np.random.default_rng(seed), 0.5, hidden)
            reads = plans(list(graph.topological_order), seed)
            treatment = {x: (0, looked_up(np.zeros((2,) * len(names)), *names)) for x, names in reads.items()}
            found.append(asked_of(graph, treatment, graph.topological_order[-1]).identified)
    assert all(told[0.0]) and 0.2 < np.mean(told[0.4]) < 0.8


def model():
    z = pyro.sample("Z", dist.Bernoulli(0.4))
    x = pyro.sample("X", dist.Bernoulli(0.2 + 0.6 * z))
    pyro.sample("Y", dist.Bernoulli(0.1 + 0.3 * x + 0.4 * z))


CONFOUNDED = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
RULE = policy(lambda v: v["Z"], ["Z"])


def test_the_estimate_says_by_what_a_rule_is_identified():
    found = ate(model, {"X": (0.0, RULE)}, "Y", seed=0, data_graph=CONFOUNDED, require_identified=True)
    assert str(found.basis) == "identified from the data: P(Y, Z | do(X)) = P(y | x, z) P(z)"
    found = cate(model, {"X": (0.0, RULE)}, "Y", by="Z", seed=0, data_graph=CONFOUNDED)
    assert str(found.basis) == "identified from the data: P(Y_{X=x'} | Z) = P(y | x', z)"


REVERSED = CausalGraph.from_edges([("X", "Z"), ("X", "Y")])
HIDDEN = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("X", "Y")])
UNTOLD = {
    "reads an effect": (lambda **o: ate(model, {"X": (0.0, RULE)}, "Y", **o), REVERSED, "Z, which is an effect"),
    "hidden": (lambda **o: ate(model, {"X": (0.0, RULE)}, "Y", **o), HIDDEN, "not identifiable"),
    "nde": (lambda **o: nde(model, {"X": (0.0, RULE)}, "Y", "Z", **o), CONFOUNDED, "nde"),
    "given an effect": (
        lambda **o: cate(model, {"X": (0.0, policy(lambda v: v["X"], ["X"]))}, "Y", by="X", **o),
        CONFOUNDED,
        "reads X, whose factual value is given",
    ),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_cannot_be_told_of_a_rule_is_said(case):
    verb, graph, says = UNTOLD[case]
    basis = verb(seed=0, num_samples=500, data_graph=graph).basis
    assert basis.undecided and not basis.identified
    assert str(basis).startswith("whether the data alone determine it cannot be told") and says in str(basis)
    with pytest.raises(NotIdentifiableError, match="cannot be told"):
        verb(seed=0, num_samples=500, data_graph=graph, require_identified=True)


@pytest.mark.parametrize("value", [lambda x: x + 1.0, potential("X", {"Z": 1.0}), dist.Bernoulli(0.5)])
def test_what_names_no_reads_is_refused_with_a_graph_and_the_way_to_name_them(value):
    with pytest.raises(QueryError, match=r"policy\(function, reads\)"):
        ate(model, {"X": (0.0, value)}, "Y", seed=0, data_graph=CONFOUNDED)


def test_a_mediator_may_be_held_by_a_rule():
    scm = random_discrete(4, 3)
    x, m, y = (list(scm.parents)[i] for i in (0, 1, -1))
    found = cde(scm, {x: (0.0, 1.0)}, y, {m: looked_up([1, 0], x)}, seed=0, num_samples=40_000, data_graph=scm.graph)
    assert found.basis.identified
    law = scm.worlds({i: {x: i, m: 1 - i} for i in (0, 1)}, variables=[y])
    truth = law.expectation((1, y)) - law.expectation((0, y))
    assert abs(float(found.value) - truth) <= 4.5 * float(found.standard_error) + 1e-9
