"""Adjustment, bounds, tests of a graph and estimands on data: what a user may get wrong."""

import numpy as np
import pandas as pd

from causal_pyro_models import CausalGraph, ate, pn
from causal_pyro_models.errors import (
    DataError,
    EvidenceError,
    GraphError,
    InterventionError,
    NotIdentifiableError,
    NoValidSetError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.estimators import Bootstrap, aipw, g_formula, ipw
from causal_pyro_models.graph import (
    adjustment_sets,
    closest_separator,
    instruments,
    is_adjustment_set,
    minimal_frontdoor_set,
    minimum_separator,
    optimal_adjustment_set,
)
from causal_pyro_models.identification import JointTable, ate_bounds, bounds, identify, pn_bounds
from causal_pyro_models.independence import test_graph
from causal_pyro_models.inference import joint_table
from causal_pyro_models.scm.zoo import discrete
from tests.bad_input.case import Bad

GRAPH = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "M"), ("M", "Y")])
BOW = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
ARMS = {"X": (0, 1)}
DATA = pd.DataFrame(
    {"Z": [0.5, 1.5, 2.5, 3.5] * 10, "X": [0, 1] * 20, "M": [0, 0, 1, 1] * 10, "Y": [1.0, 2.0, 3.0, 5.0] * 10}
)
TABLE = JointTable(["X", "Y"], [[0.25, 0.25], [0.25, 0.25]])
EFFECT = identify(GRAPH, "P(Y | do(X))")
ARROW = identify(CausalGraph.from_edges([("X", "Y")]), "P(Y | do(X))")
model = discrete.mediation()

GRAPHS = [
    Bad("separators of a misspelt variable", UnknownVariableError, ("'Yy'", "Did you mean 'Y'"), lambda: closest_separator(GRAPH, "X", "Yy")),
    Bad("a separator of neighbours", NoValidSetError, ("'X'", "'M'", "m-separates"), lambda: closest_separator(GRAPH, "X", "M")),
    Bad("a separator at a negative cost", QueryError, ("'Z'", "positive", "-1"), lambda: minimum_separator(GRAPH, "X", "Y", cost={"Z": -1})),
    Bad("adjustment for the treatment itself", GraphError, ("'X'", "adjustment", "disjoint"), lambda: is_adjustment_set(GRAPH, "X", "Y", ["X", "Z"])),
    Bad("adjustment for an effect of nothing", QueryError, ("treatment is empty",), lambda: is_adjustment_set(GRAPH, [], "Y", "Z")),
    Bad("adjustment with an unknown hidden variable", UnknownVariableError, ("'U'", "Z, X"), lambda: adjustment_sets(GRAPH, "X", "Y", observed=["U"])),
    Bad("adjustment that must hold a mediator", NoValidSetError, ("'M'", "X -> M -> Y"), lambda: adjustment_sets(GRAPH, "X", "Y", included="M")),
    Bad("the best adjustment of a bow", NoValidSetError, ("X <-> Y", "identify"), lambda: optimal_adjustment_set(BOW, "X", "Y")),
    Bad("a front-door set where there is none", NoValidSetError, ("front-door", "identify"), lambda: minimal_frontdoor_set(BOW, "X", "Y")),
    Bad("instruments of two treatments", QueryError, ("treatment", "one variable"), lambda: instruments(GRAPH, ["X", "Z"], "Y")),
]  # fmt: skip

PARTIAL = [
    Bad("bounds without a value", QueryError, ("'Y'", "Y=1"), lambda: bounds(BOW, TABLE, "P(Y | do(X=1))")),
    Bad("bounds at a value outside the support", DataError, ("'X'", "2", "0, 1"), lambda: bounds(BOW, TABLE, "P(Y=1 | do(X=2))")),
    Bad("bounds from a table that leaves a variable out", UnknownVariableError, ("'Z'",), lambda: ate_bounds(GRAPH, TABLE, ARMS, "Y")),
    Bad("bounds from an array", DataError, ("JointTable", "ndarray"), lambda: ate_bounds(BOW, np.full((2, 2), 0.25), ARMS, "Y")),
    Bad("bounds of a treatment that is no pair", InterventionError, ("'X'", "(control, treated)"), lambda: ate_bounds(BOW, TABLE, {"X": 1}, "Y")),
    Bad("necessity of an event of probability zero", EvidenceError, ("pn", "probability zero"), lambda: pn_bounds(BOW, JointTable(["X", "Y"], [[0.5, 0.5], [0, 0]]), ARMS, "Y")),
    Bad("a joint table with NaN", DataError, ("nan", "finite"), lambda: JointTable(["X"], [float("nan"), 1.0])),
    Bad("a joint table of counts", DataError, ("sum to 10", "divide"), lambda: JointTable(["X"], [4, 6])),
    Bad("a joint table of wrong shape", DataError, ("(2, 2)", "['X']"), lambda: JointTable(["X"], [[0.25, 0.25], [0.25, 0.25]])),
]  # fmt: skip

ON_DATA = [
    Bad("an estimand without a value of its treatment", QueryError, ("'X'", "values="), lambda: EFFECT.evaluate(DATA)),
    Bad("an estimand on data without rows", DataError, ("0 rows",), lambda: EFFECT.evaluate(DATA[:0], {"X": 1})),
    Bad("an estimand on data with a misspelt column", UnknownVariableError, ("'Z'", "column"), lambda: EFFECT.evaluate(DATA.rename(columns={"Z": "z"}), {"X": 1})),
    Bad("an estimand on data with NaN", DataError, ("'Y'", "missing"), lambda: EFFECT.evaluate(DATA.assign(Y=float("nan")), {"X": 1})),
    Bad("an estimand on data with infinity", DataError, ("'Y'", "infinite"), lambda: EFFECT.evaluate(DATA.assign(Y=float("inf")), {"X": 1})),
    Bad("an estimand on a model that lacks a site", UnknownVariableError, ("'Z'",), lambda: EFFECT.evaluate(model, {"X": 1})),
    Bad("an estimand on a column of numbers and strings", DataError, ("'Z'", "mixes types"), lambda: EFFECT.evaluate(DATA.assign(Z=[1, "a"] * 20), {"X": 1})),
    Bad("an estimand on a number", DataError, ("int",), lambda: EFFECT.evaluate(3, {"X": 1})),
    Bad("an estimand with a single bootstrap replicate", QueryError, ("replicates", "2"), lambda: ARROW.evaluate(DATA, {"X": 1}, uncertainty=Bootstrap(1))),
    Bad("a joint table of an unknown site", UnknownVariableError, ("'Q'",), lambda: joint_table(model, ["Q"])),
    Bad("a graph tested on other columns", UnknownVariableError, ("'Q'", "column"), lambda: test_graph(CausalGraph(["Q", "X"], []), DATA)),
    Bad("a graph tested that leaves all dependent", GraphError, ("no constraint",), lambda: test_graph(BOW, DATA)),
    *(
        Bad(f"{what} by {estimator.__name__}", error, says, lambda estimator=estimator, args=args, options=options: estimator(*args, **options))
        for estimator in (g_formula, ipw, aipw)
        for what, error, says, args, options in [
            ("adjustment without covariates or a graph", QueryError, ("adjustment=", "graph="), (DATA, ARMS, "Y"), {}),
            ("adjustment for what is not valid", NoValidSetError, ("X <- Z -> Y",), (DATA, ARMS, "Y"), {"graph": GRAPH, "adjustment": []}),
            ("adjustment for an unknown column", UnknownVariableError, ("'Q'",), (DATA, ARMS, "Y"), {"adjustment": "Q"}),
            ("adjustment for two treatments", InterventionError, ("one name",), (DATA, {**ARMS, "M": (0, 1)}, "Y"), {"adjustment": "Z"}),
            ("adjustment with an impossible level", QueryError, ("level", "1.5"), (DATA, ARMS, "Y"), {"adjustment": "Z", "level": 1.5}),
        ]
    ),
]  # fmt: skip

GATES = [
    Bad("an effect that must be identified, without a graph", QueryError, ("data_graph",), lambda: ate(model, ARMS, "Y", require_identified=True)),
    Bad("an effect that must be identified, and is not", NotIdentifiableError, ("hedge", "ate_bounds"), lambda: ate(model, ARMS, "Y", data_graph=BOW, require_identified=True)),
    Bad("necessity that must be identified, and is not", NotIdentifiableError, ("noise", "pn_bounds"), lambda: pn(model, ARMS, "Y", data_graph=GRAPH, require_identified=True)),
    Bad("an effect with a number as its graph", QueryError, ("CausalGraph", "int"), lambda: ate(model, ARMS, "Y", data_graph=3)),
]  # fmt: skip

CASES = [*GRAPHS, *PARTIAL, *ON_DATA, *GATES]
