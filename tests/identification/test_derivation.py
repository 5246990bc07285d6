"""Derivations prove what they claim, and a wrong one is refused whatever is wrong with it."""

from dataclasses import replace

import numpy as np
import pytest

from causal_pyro_models.errors import CausalError, DerivationError, NotIdentifiableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import AxiomStep, RuleStep, Step, identify, parse, verify
from causal_pyro_models.identification.laws.random_laws import random_laws
from causal_pyro_models.identification.laws.tabulation import Tabulator
from tests.identification.oracles import random_model
from tests.identification.random_queries import random_query

FRONT_DOOR = CausalGraph.from_dagitty("dag { X -> M -> Y; X <-> Y }")


class Trusted(Step):
    """A step that nothing checks."""

    def check(self, graph, seed):
        pass


def proofs(count, seed):
    """Derivations of random queries."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < count:
        try:
            derivation = identify(*random_query(rng, 4, 6)).derivation
        except NotIdentifiableError:
            continue
        if len(derivation):
            found.append(derivation)
    return found


def test_the_front_door_as_text():
    assert identify(FRONT_DOOR, "P(Y | do(X))").derivation.text() == "\n".join([
        "    P(y | do(x))",
        "  = sum_m P(m, y | do(x))",
        "      probability axiom: summing over a variable",
        "  = sum_m P(m | do(x)) P(y | do(x), m)",
        "      probability axiom: chain rule",
        "  = sum_m P(m | do(x)) P(y | do(m, x))",
        "      rule 2: (Y _||_ M | X) in the graph without the edges into X and out of M",
        "  = sum_m P(m | do(x)) P(y | do(m))",
        "      rule 3: (Y _||_ X | M) in the graph without the edges into M, X",
        "  = sum_m P(m | x) P(y | do(m))",
        "      rule 2: (M _||_ X) in the graph without the edges out of X",
        "  = sum_m P(m | x) sum_x' P(x', y | do(m))",
        "      probability axiom: summing over a variable",
        "  = sum_m P(m | x) sum_x' P(y | do(m), x') P(x' | do(m))",
        "      probability axiom: chain rule",
        "  = sum_m P(m | x) sum_x' P(y | m, x') P(x' | do(m))",
        "      rule 2: (Y _||_ M | X) in the graph without the edges out of M",
        "  = sum_m P(m | x) sum_x' P(y | m, x') P(x')",
        "      rule 3: (X _||_ M) in the graph without the edges into M",
    ])  # fmt: skip


def test_latex():
    latex = identify(FRONT_DOOR, "P(Y | do(X=0))").derivation.latex()
    assert latex.startswith(r"\begin{align*}") and latex.endswith(r"\end{align*}")
    assert r"&& \text{rule 2: } (Y \perp\!\!\!\perp M \mid X)_{G_{\overline{X}\underline{M}}}" in latex
    assert r"P(y \mid \operatorname{do}(X=0))" in latex


def test_every_step_has_its_graph_separation_and_lines():
    derivation = identify(FRONT_DOOR, "P(Y | do(X))").derivation
    step = derivation.steps[2]
    assert isinstance(step, RuleStep) and step.rule == 2
    assert step.separation.mutilated == FRONT_DOOR.do("X").remove_outgoing("M")
    assert (step.before.text(), step.after.text()) == ("P(y | do(x), m)", "P(y | do(m, x))")
    assert len(derivation.lines) == len(derivation) + 1 == len(list(derivation)) + 1
    assert derivation.lines[0] == parse("P(y | do(x))")


def test_every_line_equals_the_first_in_random_models():
    for derivation in proofs(20, seed=0):
        verify(derivation, models=3, seed=1)


@pytest.mark.parametrize("derivation", proofs(15, seed=1))
def test_a_wrong_step_is_refused(derivation):
    """Whatever is changed about a step: the rule, the separation, the graph, either side; or a step is left out."""
    for i, step in enumerate(derivation.steps):
        for bad in wrong_versions(step):
            steps = (*derivation.steps[:i], bad, *derivation.steps[i + 1 :])
            with pytest.raises(CausalError):
                verify(replace(derivation, steps=steps))


def wrong_versions(step):
    fewer = step.after.substitute({symbol: 0 for symbol in sorted(step.after.free)[:1]})
    yield replace(step, after=fewer)
    yield replace(step, before=parse("P(q)"))
    if isinstance(step, RuleStep):
        s = step.separation
        yield replace(step, rule=step.rule % 3 + 1)
        yield replace(step, separation=replace(s, given=(*s.given, "Q")))
        yield replace(step, separation=replace(s, graph=CausalGraph(s.graph.variables, [])))
        yield AxiomStep(step.before, step.after, "wishful thinking")


def test_an_axiom_cannot_stand_for_a_rule():
    proof = identify(FRONT_DOOR, "P(Y | do(X))").derivation
    lie = AxiomStep(parse("P(y | do(x))"), parse("P(y | x)"), "everything is observed")
    with pytest.raises(DerivationError, match=r"P\(y \| do\(x\)\) = P\(y \| x\) is no identity"):
        verify(replace(proof, steps=(lie,)))


def test_a_proof_in_another_graph_is_refused_and_its_lines_are_wrong_in_numbers():
    """A proof in the graph without the hidden cause is consistent in itself, but not about this graph."""
    plain = CausalGraph.from_dagitty("dag { X -> M -> Y }")
    proof = identify(plain, "P(Y | do(X))").derivation
    verify(proof)
    with pytest.raises(DerivationError, match=r"P\(y \| x\): CausalGraph\(X -> M, M -> Y\) is another graph"):
        verify(replace(proof, graph=FRONT_DOOR))
    line = replace(proof, graph=FRONT_DOOR, steps=(Trusted(*proof.lines),))
    with pytest.raises(DerivationError, match="in a random model"):
        verify(line, models=1)


def test_random_laws_have_the_independences_of_the_graph_and_obey_truncation():
    """P(v | do) of the package's random models is that of a model of the graph: checked by the front-door formula."""
    laws = random_laws(FRONT_DOOR, seed=3)
    estimand, query = identify(FRONT_DOOR, "P(Y | do(X))").expression, parse("P(y | do(x))")
    tabulate = Tabulator(FRONT_DOOR.variables, laws)
    np.testing.assert_allclose(tabulate(estimand)[0], tabulate(query)[0], atol=1e-12)
    assert np.abs(tabulate(parse("P(y | x)"))[0] - tabulate(query)[0]).max() > 1e-3
    assert np.isclose(laws("", frozenset()).sum(), 1) and np.isclose(laws("", frozenset("X")).sum(), 2)


def test_proofs_hold_in_models_with_more_states():
    """The oracle's models have their own construction, and variables of three values."""
    rng = np.random.default_rng(5)
    for derivation in proofs(10, seed=2):
        model = random_model(derivation.graph, rng, 3)
        tabulate = Tabulator(derivation.graph.variables, lambda domain, do, m=model: m.law(do))
        first = derivation.open_lines[0]
        for line in derivation.open_lines[1:]:
            symbols = sorted(first.free | line.free)
            np.testing.assert_allclose(
                *np.broadcast_arrays(tabulate.over(first, symbols), tabulate.over(line, symbols))
            )
