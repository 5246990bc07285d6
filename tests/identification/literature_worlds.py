"""Cases of the literature on counterfactuals, surrogate experiments, transport and selection, with their estimands.

A graph is written as its edges, ``A>B`` and ``A=B`` for a hidden common cause. An estimand is written as the engine
writes it, or None where the query is not identifiable.
"""

from dataclasses import dataclass, field
from typing import Any

from causal_pyro_models.graph import CausalGraph


@dataclass(frozen=True)
class Case:
    """One query on one graph."""

    source: str
    edges: str
    query: str
    estimand: str | None
    keywords: dict[str, Any] = field(default_factory=dict)

    @property
    def graph(self):
        pairs = self.edges.split()
        directed = [tuple(pair.split(">")) for pair in pairs if ">" in pair]
        return CausalGraph.from_edges(directed, [tuple(pair.split("=")) for pair in pairs if "=" in pair])


BACK_DOOR = "Z>X Z>Y X>Y"
BOW = "X>Y X=Y"
FRONT_DOOR = "X>M M>Y X=Y"
NAPKIN = "W>R R>X X>Y W=X W=Y"
MEDIATOR = "X>M M>Y X>Y"
SP_FIGURE_9 = "X>W W>Y D>Z Z>Y X=Y"
FAIRNESS = "C>X C>W C>Y X>W W>Y X>Y"
RECANTING = "X>W W>M W>Y M>Y X>Y X>M"

COUNTERFACTUAL = [
    Case("ETT, back-door", BACK_DOOR, "P(Y_{X=1} | X=0)", "sum_z P(y | X=1, z) P(z | X=0)"),
    Case("ETT is seen among the treated", BOW, "P(Y_{X=1} | X=1)", "P(y | X=1)"),
    Case("ETT, bow", BOW, "P(Y_{X=1} | X=0)", None),
    Case("ETT, front-door", FRONT_DOOR, "P(Y_{X=1} | X=0)", "sum_m P(y | m, X=0) P(m | X=1)"),
    Case("ETT, napkin", NAPKIN, "P(Y_{X=1} | X=0)", None),
    Case(
        "Joint of a response and the treatment, front-door",
        FRONT_DOOR,
        "P(Y_{X=1}, X=0)",
        "P(X=0) sum_m P(y | m, X=0) P(m | X=1)",
    ),
    Case("Open values, back-door", BACK_DOOR, "P(Y_{X=x} | X=x')", "sum_z P(y | x, z) P(z | x')"),
    Case(
        "Shpitser and Pearl 2008, figure 9",
        SP_FIGURE_9,
        "P(Y_{X=x} | X=x', Z_{D=d}, D=d)",
        "sum_w P(y | w, x', z) P(w | x)",
    ),
    Case(
        "Shpitser and Pearl 2008, figure 9, W and Y confounded",
        SP_FIGURE_9 + " W=Y",
        "P(Y_{X=x} | X=x', Z_{D=d}, D)",
        None,
    ),
    Case("Interventional query in counterfactual form", BACK_DOOR, "P(Y_{X=1})", "sum_z P(y | X=1, z) P(z)"),
    Case("Conditional effect in counterfactual form", BACK_DOOR, "P(Y_{X=1} | Z_{X=1}=2)", "P(y | X=1, Z=2)"),
    Case("Composition: Z is the same in both worlds", BACK_DOOR, "P(Y_{X=1} | Z=2)", "P(y | X=1, Z=2)"),
    Case("Exclusion: X does not follow from Y", "X>Y", "P(X_{Y=1})", "P(x)"),
    Case("Independent responses", "X>Y W>Y", "P(Y_{X=1}, W)", "P(w, y | X=1)"),
    Case("PNS", "X>Y", "P(Y_{X=1}=1, Y_{X=0}=0)", None),
    Case("PN", "X>Y", "P(Y_{X=0}=0 | X=1, Y=1)", None),
    Case("PS", "X>Y", "P(Y_{X=1}=1 | X=0, Y=0)", None),
    Case("Two worlds of a chain", "X>M M>Y", "P(Y_{X=1}, M)", None),
    Case("Two responses in one world", "X>M M>Y", "P(Y_{X=1}, M_{X=1}=2)", "P(M=2, y | X=1)"),
    Case("Response given its own mediator elsewhere", "X>M M>Y", "P(Y_{M=1} | M=0)", "P(y | M=1)"),
    Case("NDE", MEDIATOR, "P(Y_{X=1, M_{X=0}})", "sum_m P(y | m, X=1) P(m | X=0)"),
    Case("NIE", MEDIATOR, "P(Y_{X=0, M_{X=1}})", "sum_m P(y | m, X=0) P(m | X=1)"),
    Case(
        "NDE, confounder of mediator and outcome",
        MEDIATOR + " W>M W>Y",
        "P(Y_{X=1, M_{X=0}})",
        "sum_{m, w} P(y | m, w, X=1) P(m, w | X=0)",
    ),
    Case("NDE, hidden confounder of mediator and outcome", MEDIATOR + " M=Y", "P(Y_{X=1, M_{X=0}})", None),
    Case("NDE, hidden confounder of treatment and mediator", MEDIATOR + " X=M", "P(Y_{X=1, M_{X=0}})", None),
    Case("NDE, hidden confounder of treatment and outcome", MEDIATOR + " X=Y", "P(Y_{X=1, M_{X=0}})", None),
    Case("NDE, confounder that the treatment changes", MEDIATOR + " X>W W>M W>Y", "P(Y_{X=1, M_{X=0}})", None),
    Case(
        "NDE, treatment confounded in view",
        MEDIATOR + " C>X C>M C>Y",
        "P(Y_{X=1, M_{X=0}})",
        "sum_{c, m} P(y | c, m, X=1) P(m | c, X=0) P(c)",
    ),
    Case("Nested without a difference", MEDIATOR, "P(Y_{X=1, M_{X=1}})", "P(y | X=1)"),
    Case("Nested, observed mediator", MEDIATOR, "P(Y_{X=1, M_{X=0}} | X=0, M=2)", "P(y | M=2, X=1)"),
    Case("Nested twice", "X>M M>N N>Y X>N X>Y", "P(Y_{X=0, N_{X=0, M_{X=1}}})", "sum_m P(y | m, X=0) P(m | X=1)"),
    Case("Nested twice, recanting witness", "X>M M>N N>Y M>Y", "P(Y_{N_{M_{X=1}}, M_{X=0}})", None),
    Case(
        "Zhang and Bareinboim 2018, counterfactual direct effect",
        FAIRNESS,
        "P(Y_{X=1, W_{X=0}} | X=0)",
        "sum_{c, w} P(y | c, w, X=1) P(c, w | X=0)",
    ),
    Case(
        "Zhang and Bareinboim 2018, counterfactual indirect effect",
        FAIRNESS,
        "P(Y_{X=0, W_{X=1}} | X=1)",
        "sum_{c, w} P(y | c, w, X=0) P(c, w | X=1)",
    ),
    Case(
        "Zhang and Bareinboim 2018, counterfactual spurious effect",
        FAIRNESS,
        "P(Y_{X=0} | X=1)",
        "sum_c P(y | c, X=0) P(c | X=1)",
    ),
    Case("A response contradicts itself", BOW, "P(Y_{X=1}=1, Y_{X=1}=0)", "0"),
    Case("Effectiveness", BOW, "P(X_{X=1}=0)", "0"),
    Case("Consistency", BOW, "P(Y_{X=1}=1 | X=1, Y=0)", "0"),
    Case("Avin et al. 2005, recanting witness", RECANTING, "P(Y_{X=0, W_{X=0}, M_{X=0, W_{X=1}}})", None),
]

EXPERIMENTS = [
    Case("The experiment itself", BOW, "P(Y | do(X))", "P(y | do(x))", {"experiments": ["X"]}),
    Case(
        "Bareinboim and Pearl 2012 (surrogates), instrument set",
        "Z>X X>Y Z=X Z=Y",
        "P(Y | do(X))",
        "P(y | do(z), x)",
        {"experiments": ["Z"]},
    ),
    Case("Without the surrogate", "Z>X X>Y Z=X Z=Y", "P(Y | do(X))", None),
    Case("Surrogate that is no help", "Z>X X>Y X=Y", "P(Y | do(X))", None, {"experiments": ["Z"]}),
    Case(
        "Two experiments, each for a factor",
        "A>M M>Y B>Y A=M B=Y",
        "P(Y | do(A, B))",
        "sum_m P(y | do(b), m) P(m | do(a))",
        {"experiments": ["A", "B"]},
    ),
    Case("One of the two", "A>M M>Y B>Y A=M B=Y", "P(Y | do(A, B))", None, {"experiments": ["A"]}),
    Case("Binary ETT would need more than the experiment", BOW, "P(Y_{X=1} | X=0)", None, {"experiments": ["X"]}),
    Case(
        "NDE with a trial of the mediator",
        MEDIATOR + " X=M",
        "P(Y_{X=1, M_{X=0}})",
        "sum_m P(y | m, X=1) P(m | do(X=0))",
        {"experiments": ["X"]},
    ),
    Case("Experiments alone", BOW, "P(Y | do(X))", None, {"experiments": {"": []}}),
    Case(
        "Correa et al. 2021, ETT of a chain by experiment",
        "X>Z Z>Y X=Z Z=Y",
        "P(Y_{X=1, Z=2})",
        "P(y | do(Z=2))",
        {"experiments": ["Z"]},
    ),
]

FROM_TRIAL = {"target": "*", "experiments": {"trial": ["X"]}}
TRANSPORT = [
    Case(
        "Pearl and Bareinboim 2011, a covariate differs",
        BACK_DOOR + " X=Y",
        "P(Y | do(X))",
        "sum_z P^trial(y | do(x), z) P^*(z)",
        {**FROM_TRIAL, "selection": {"trial": "Z"}},
    ),
    Case(
        "Pearl and Bareinboim 2011, no difference that matters",
        BOW + " Y>Z",
        "P(Y | do(X))",
        "P^trial(y | do(x))",
        {**FROM_TRIAL, "selection": {"trial": "Z"}},
    ),
    Case(
        "The treatment is chosen otherwise",
        BOW,
        "P(Y | do(X))",
        "P^trial(y | do(x))",
        {**FROM_TRIAL, "selection": {"trial": "X"}},
    ),
    Case("The outcome differs", BOW, "P(Y | do(X))", None, {**FROM_TRIAL, "selection": {"trial": "Y"}}),
    Case(
        "Pearl and Bareinboim 2011, a surrogate endpoint differs",
        "X>Z Z>Y X>Y X=Y",
        "P(Y | do(X))",
        "sum_z P^trial(y | do(x), z) P^*(z | x)",
        {**FROM_TRIAL, "selection": {"trial": "Z"}},
    ),
    Case(
        "A mediator differs, confounded with the treatment",
        "X>Z Z>Y X=Z",
        "P(Y | do(X))",
        None,
        {**FROM_TRIAL, "selection": {"trial": "Z"}},
    ),
    Case(
        "A stratum",
        BACK_DOOR + " X=Y",
        "P(Y | do(X), Z)",
        "P^trial(y | do(x), z)",
        {**FROM_TRIAL, "selection": {"trial": "Z"}},
    ),
    Case(
        "The target is not seen",
        BACK_DOOR + " X=Y",
        "P(Y | do(X))",
        None,
        {"target": "*", "experiments": {"trial": ["X"], "*": []}, "selection": {"trial": "Z"}},
    ),
    Case(
        "Trivial: the target suffices",
        BACK_DOOR,
        "P(Y | do(X))",
        "sum_z P^*(y | x, z) P^*(z)",
        {**FROM_TRIAL, "selection": {"trial": "Y"}},
    ),
    Case(
        "Two trials that differ alike",
        "X>Z Z>Y X=Z X=Y",
        "P(Y | do(X))",
        None,
        {"target": "*", "experiments": {"a": ["X"], "b": ["Z"]}, "selection": {"a": "Z", "b": "Z"}},
    ),
    Case(
        "Two trials that complement each other",
        "X>Z Z>Y X=Z X=Y",
        "P(Y | do(X))",
        "sum_z P^b(y | do(z)) P^a(z | do(x))",
        {"target": "*", "experiments": {"a": ["X"], "b": ["Z"]}, "selection": {"a": "Y", "b": "Z"}},
    ),
    Case(
        "ETT from a trial",
        BACK_DOOR + " X=Y",
        "P(Y_{X=1} | Z=2)",
        "P^trial(y | do(X=1), Z=2)",
        {**FROM_TRIAL, "selection": {"trial": "Z"}},
    ),
]

SELECTION = [
    Case("Bareinboim and Pearl 2012, theorem 1", "X>Y X>S", "P(Y | X)", "P(y | S=1, x)"),
    Case("Case-control", "X>Y Y>S", "P(Y | X)", None),
    Case("Case-control, effect", "X>Y Y>S", "P(Y | do(X))", None),
    Case("Selection on the treatment", "X>Y X>S", "P(Y | do(X))", "P(y | S=1, x)"),
    Case("Selection on the treatment, its margin", "X>Y X>S", "P(X)", None),
    Case("The margin is known", "X>Y X>S", "P(Y, X)", "P(y | S=1, x) P(x)", {"external": "X"}),
    Case("Selection on a confounder", BACK_DOOR + " Z>S", "P(Y | do(X))", None),
    Case(
        "Bareinboim, Tian and Pearl 2014, s-back-door",
        BACK_DOOR + " Z>S X>S",
        "P(Y | do(X))",
        "sum_z P(y | S=1, x, z) P(z)",
        {"external": "Z"},
    ),
    Case(
        "Selection by an effect of the treatment",
        "X>Y X>Z Z>S W>Z W>S",
        "P(Y | do(X))",
        "P(y | S=1, x)",
        {"external": ["W", "Z"]},
    ),
    Case(
        "Adjustment for what selection looks at",
        "X>Y C>Y C>S",
        "P(Y | X)",
        "sum_c P(y | c, S=1, x) P(c | x)",
        {"external": ["C", "X"]},
    ),
    Case("The same without data on C", "X>Y C>Y C>S", "P(Y | X)", None),
    Case("Selection on a confounder by proxy", "W>X X>Y W=Y W>S", "P(Y | do(X))", None),
    Case(
        "Bareinboim and Tian 2015, one factor divided out at a time",
        "X>Y A>S W>X Y=W A=W W=S",
        "P(Y | do(X))",
        "(sum_w P(a, w, x, y | S=1) / P(x | S=1, w)) / (sum_w P(a, w, x | S=1) / P(x | S=1, w))",
    ),
]
