"""Cases from the literature: graph, query, whether it is identifiable, and the published estimand where one is known.

Graphs are written in dagitty's language without the ``dag { }``. An estimand of None says that the query is
identifiable, by whatever form; its numbers are checked against the truth all the same.
"""

from dataclasses import dataclass

from causal_pyro_models.graph import CausalGraph


@dataclass(frozen=True)
class Case:
    """A query with its verdict.

    Attributes:
        id: what the case is known as.
        source: where it is from.
        edges: the graph.
        query: the query.
        estimand: the exact text, or None where only the verdict is stated.
    """

    id: str
    source: str
    edges: str
    query: str
    estimand: str | None = None

    @property
    def graph(self):
        return CausalGraph.from_dagitty(f"dag {{ {self.edges} }}")


PEARL_95 = "Pearl (1995), Causal diagrams for empirical research"
PEARL_09 = "Pearl (2009), Causality"
GREENLAND = "Greenland, Pearl and Robins (1999), Causal diagrams for epidemiologic research"
TIAN = "Tian and Pearl (2002), A general identification condition for causal effects"
VERMA = "Tian and Pearl (2002), On the testable implications of causal models with hidden variables"
ID_06 = "Shpitser and Pearl (2006), Identification of joint interventional distributions"
IDC_06 = "Shpitser and Pearl (2006), Identification of conditional interventional distributions"
HIERARCHY = "Shpitser and Pearl (2008), Complete identification methods for the causal hierarchy"
TIKKA = "Tikka and Karvanen (2017), Identifying causal effects with the R package causaleffect"
PRUNING = "Tikka and Karvanen (2017), Simplifying probabilistic expressions in causal inference"
WHY = "Pearl and Mackenzie (2018), The book of why"
FUSION = "Bareinboim and Pearl (2016), Causal inference and the data-fusion problem"
Z_ID = "Bareinboim and Pearl (2012), Causal inference by surrogate experiments"
CORREA = "Correa and Bareinboim (2020), General transportability of soft interventions"
TEXTBOOK = "Hernan and Robins (2020), Causal inference: what if"
KUROKI = "Kuroki and Miyakawa (1999), Identifiability criteria for causal effects of joint interventions"

IDENTIFIABLE = [
    Case("one confounder", PEARL_09, "Z -> X; Z -> Y; X -> Y", "P(Y | do(X))", "sum_z P(y | x, z) P(z)"),
    Case("the reverse effect", PEARL_09, "Z -> X; Z -> Y; X -> Y", "P(X | do(Y))", "P(x)"),
    Case("no confounding", PEARL_95, "X -> Y", "P(Y | do(X))", "P(y | x)"),
    Case("a mediator", PEARL_09, "X -> M -> Y", "P(Y | do(X))", "P(y | x)"),
    Case("a mediator and a direct path", PEARL_09, "X -> M -> Y; X -> Y", "P(Y | do(X))", "P(y | x)"),
    Case("the controlled direct effect", PEARL_09, "X -> M -> Y; X -> Y", "P(Y | do(X, M))", "P(y | m, x)"),
    Case(
        "two confounders", PEARL_09, "Z1 -> X; Z1 -> Y; Z2 -> X; Z2 -> Y; X -> Y", "P(Y | do(X))",
        "sum_{z1, z2} P(y | x, z1, z2) P(z1, z2)",
    ),
    Case(
        "a confounder and its cause", PRUNING, "W -> Z; Z -> X; Z -> Y; X -> Y", "P(Y | do(X))",
        "sum_z P(y | x, z) P(z)",
    ),
    Case(
        "confounding along a chain", TEXTBOOK, "L -> X; L <-> Y; X -> Y", "P(Y | do(X))", "sum_l P(y | l, x) P(l)",
    ),
    Case("confounding before a cause", TEXTBOOK, "L <-> X; L -> Y; X -> Y", "P(Y | do(X))", "sum_l P(y | l, x) P(l)"),
    Case(
        "the effect among those with a covariate", PEARL_09, "Z -> X; Z -> Y; X -> Y", "P(Y | do(X), Z)", "P(y | x, z)",
    ),
    Case(
        "two outcomes", PEARL_09, "Z -> X; Z -> Y; X -> Y; X -> W", "P(Y, W | do(X))",
        "sum_z P(w, y | x, z) P(z)",
    ),
    Case(
        "the back-door example, figure 3.4", PEARL_09,
        "X1 -> X3; X1 -> X4; X2 -> X4; X2 -> X5; X3 -> X; X4 -> X; X4 -> Y; X5 -> Y; X -> X6 -> Y", "P(Y | do(X))",
        "sum_{x4, x5} P(y | x, x4, x5) P(x4, x5)",
    ),
    Case("M-bias", GREENLAND, "X -> Y; X <-> Z; Z <-> Y", "P(Y | do(X))", "P(y | x)"),
    Case("M-bias, the hidden causes measured", GREENLAND, "A -> X; A -> Z; B -> Z; B -> Y; X -> Y", "P(Y | do(X))", "P(y | x)"),
    Case(
        "butterfly bias", GREENLAND, "A -> X; A -> Z; B -> Z; B -> Y; Z -> X; Z -> Y; X -> Y", "P(Y | do(X))",
        "sum_{b, z} P(y | b, x, z) P(b, z)",
    ),
    Case("the collider itself", GREENLAND, "X -> Y; X -> C; Y -> C", "P(Y | do(X))", "P(y | x)"),
    Case("selection on a collider", GREENLAND, "X -> Y; X -> C; Y -> C", "P(Y | do(X), C)", "P(y | c, x)"),
    Case(
        "front-door", PEARL_95, "X -> M -> Y; X <-> Y", "P(Y | do(X))", "sum_m P(m | x) sum_x' P(y | m, x') P(x')",
    ),
    Case(
        "front-door with values", PEARL_95, "X -> M -> Y; X <-> Y", "P(Y=1 | do(X=0))",
        "sum_m P(m | X=0) sum_x P(Y=1 | m, x) P(x)",
    ),
    Case("front-door, the first half", PEARL_95, "X -> M -> Y; X <-> Y", "P(M | do(X))", "P(m | x)"),
    Case("front-door, the second half", PEARL_95, "X -> M -> Y; X <-> Y", "P(Y | do(M))", "sum_x P(y | m, x) P(x)"),
    Case("front-door, both set", PEARL_95, "X -> M -> Y; X <-> Y", "P(Y | do(X, M))", "sum_x P(y | m, x) P(x)"),
    Case("front-door given the mediator", IDC_06, "X -> M -> Y; X <-> Y", "P(Y | do(X), M)", "sum_x P(y | m, x) P(x)"),
    Case(
        "front-door by two mediators in a row", PEARL_95, "X -> M -> N -> Y; X <-> Y", "P(Y | do(X))",
        "sum_n P(n | x) sum_x' P(y | n, x') P(x')",
    ),
    Case(
        "front-door by two mediators side by side", PEARL_95, "X -> M -> Y; X -> N -> Y; X <-> Y", "P(Y | do(X))",
        "sum_{m, n} P(m | x) P(n | x) sum_x' P(y | m, n, x') P(x')",
    ),
    Case(
        "front-door with an observed confounder", PEARL_09, "C -> X; C -> M; C -> Y; X -> M -> Y; X <-> Y",
        "P(Y | do(X))", "sum_{c, m} P(m | c, x) P(c) sum_x' P(y | c, m, x') P(x' | c)",
    ),
    Case(
        "front-door within a stratum", PEARL_09, "C -> X; C -> M; C -> Y; X -> M -> Y; X <-> Y", "P(Y | do(X), C)",
        "sum_m P(m | c, x) sum_x' P(y | c, m, x') P(x' | c)",
    ),
    Case(
        "napkin", WHY, "W -> R -> X -> Y; W <-> X; W <-> Y", "P(Y | do(X))",
        "(sum_w P(x, y | r, w) P(w)) / (sum_w P(x | r, w) P(w))",
    ),
    Case("napkin, the first cause", WHY, "W -> R -> X -> Y; W <-> X; W <-> Y", "P(Y | do(R))", "sum_w P(y | r, w) P(w)"),
    Case("Verma", VERMA, "A -> B -> C -> D; B <-> D", "P(D | do(C))", "sum_b P(d | b, c) P(b)"),
    Case("Verma, the first cause", VERMA, "A -> B -> C -> D; B <-> D", "P(D | do(A))", "P(d | a)"),
    Case(
        "Verma, the confounded cause", VERMA, "A -> B -> C -> D; B <-> D", "P(D | do(B))",
        "sum_c P(c | b) sum_b' P(d | b', c) P(b')",
    ),
    Case("Verma, two causes", VERMA, "A -> B -> C -> D; B <-> D", "P(D | do(A, C))", "sum_b P(d | b, c) P(b)"),
    Case("both treatments of a confounded pair", PEARL_95, "X -> Z -> Y; X -> Y; X <-> Z; Z <-> W", "P(Y | do(X, Z))", "P(y | x, z)"),
    Case("front-door, mediator and outcome", PEARL_95, "X -> Z -> Y; X <-> Y", "P(Y, Z | do(X))", "P(z | x) sum_x' P(y | x', z) P(x')"),
    Case(
        "figure 8 g", PEARL_95, "Z2 -> X; Z2 -> Z1; Z2 -> Z3; X -> Z1; Z3 -> Y; Z1 -> Y; Z2 <-> X; Z2 <-> Y; X <-> Z3; X <-> Y",
        "P(Y | do(X))", "sum_{z1, z2} P(z1 | x, z2) sum_x' P(y | x', z1, z2) P(x', z2)",
    ),
    Case("figure 8 g, one step", PEARL_95, "Z2 -> X; Z2 -> Z1; Z2 -> Z3; X -> Z1; Z3 -> Y; Z1 -> Y; Z2 <-> X; Z2 <-> Y; X <-> Z3; X <-> Y", "P(Z1 | do(X))", "sum_z2 P(z1 | x, z2) P(z2)"),
    Case("a sequence with a confounded first step", PEARL_09, "X1 -> Z -> X2 -> Y; X1 -> Y; Z <-> Y; X1 <-> Z", "P(Y | do(X1, X2))"),
    Case(
        "the plan of Pearl and Robins", "Pearl and Robins (1995), Probabilistic evaluation of sequential plans",
        "X1 -> Z; X1 -> X2; Z -> X2; X1 -> Y; X2 -> Y; Z <-> Y", "P(Y | do(X1, X2))",
        "sum_z P(y | x1, x2, z) P(z | x1)",
    ),
    Case("treatments in a row", KUROKI, "Z -> X1 -> X2 -> Y; Z -> X2; Z -> Y; X1 -> Y", "P(Y | do(X1, X2))", "sum_z P(y | x1, x2, z) P(z)"),
    Case(
        "time-varying treatment", TEXTBOOK, "A0 -> L -> A1 -> Y; A0 -> A1; A0 -> Y; L -> Y; L <-> Y", "P(Y | do(A0, A1))",
        "sum_l P(y | a0, a1, l) P(l | a0)",
    ),
    Case("four variables in a row", TIAN, "X -> A -> B -> Y; X <-> B; A <-> Y", "P(Y | do(X))", "sum_{a, b} P(y | a, b, x) P(a | x) sum_x' P(b | a, x') P(x')"),
    Case("five variables in a row", TIAN, "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V3; V2 <-> V4; V3 <-> V5", "P(V5 | do(V1))"),
    Case("five variables in a row, all outcomes", TIAN, "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V3; V2 <-> V4; V3 <-> V5", "P(V2, V3, V4, V5 | do(V1))"),
    Case("five variables in a row, confounded ends", TIAN, "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V5; V1 <-> V3; V2 <-> V4", "P(V5 | do(V1))"),
    Case("five variables, both", TIAN, "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V5; V1 <-> V3; V2 <-> V4; V3 <-> V5", "P(V5 | do(V1))"),
    Case("a confounded instrument", ID_06, "Z -> X -> Y; Z <-> X", "P(Y | do(X))", "P(y | x)"),
    Case("the first outcome beside a hedge", ID_06, "W1 -> X -> Y1; W2 -> Y2; W1 <-> Y1; W1 <-> W2; W1 <-> Y2; X <-> W2", "P(Y1 | do(X))", "sum_w1 P(y1 | w1, x) P(w1)"),
    Case("figure 3 a, both outcomes", HIERARCHY, "W1 -> X -> Y1; W2 -> Y2; W1 <-> W2; W1 <-> Y1; W1 <-> Y2; X <-> W2", "P(Y1, Y2 | do(X))", "P(y2) sum_w1 P(y1 | w1, x) P(w1)"),
    Case("conditioning on a mediator that could not be told", IDC_06, "W -> X; W -> Y; X -> Z; X <-> Z; Z -> Y; X -> Y", "P(Y | do(X), Z)", "sum_w P(y | w, x, z) P(w)"),
    Case("conditioning on a confounded descendant", IDC_06, "X -> Y -> Z; X <-> Z", "P(Y | do(X), Z)"),
    Case("line 7 of ID, figure 5", HIERARCHY, "W1 -> X -> Y1; W1 <-> Y1", "P(Y1 | do(X))", "sum_w1 P(y1 | w1, x) P(w1)"),
    Case("line 6 of ID", HIERARCHY, "X -> Y; X -> Z -> Y; X <-> Z", "P(Y | do(X, Z))", "P(y | x, z)"),
    Case("a conditional effect, figure 6 a", IDC_06, "X -> Z -> Y; X <-> Z", "P(Y | do(X), Z)", "P(y | z)"),
    Case("a conditional effect by rule 2", IDC_06, "X -> Z -> Y; X <-> Y", "P(Y | do(X), Z)", "sum_x P(y | x, z) P(x)"),
    Case("an outcome before the treatment", HIERARCHY, "Z -> Y -> X; Z <-> X", "P(Y | do(X))", "P(y)"),
    Case("a confounded front door with a covariate", HIERARCHY, "X -> M; Z -> X; Z -> Y; M -> Y; Z <-> X; M <-> Y", "P(Y | do(X))", "sum_z P(y | x, z) P(z)"),
    Case("front-door with a confounded instrument", TIKKA, "W -> X -> Z -> Y; W <-> Y; X <-> Y", "P(Y | do(X))", "sum_z P(z | x) sum_x' P(y | x', z) P(x')"),
    Case("two mediators, one of them confounded", TIKKA, "X -> Z1 -> Z2 -> Y; X <-> Z2; Z1 -> Y", "P(Y | do(X))", "sum_{z1, z2} P(y | z1, z2) P(z1 | x) sum_x' P(z2 | x', z1) P(x')"),
    Case("front-door with a cause of both ends", TIKKA, "W -> X -> Z -> Y; W -> Z; X <-> Y", "P(Y | do(X))"),
    Case("a superfluous ancestor", PRUNING, "W -> Z -> X -> Y; Z -> Y; W -> X", "P(Y | do(X))", "sum_z P(y | x, z) P(z)"),
    Case("many superfluous variables", PRUNING, "A -> B -> X -> Y; A -> C -> D; Y -> E; X -> F", "P(Y | do(X))", "P(y | x)"),
    Case("the large back-door example", FUSION, "Z1 -> Z2; Z1 -> Z3; Z2 -> X; Z3 -> X; Z4 -> X; Z4 -> Z5; Z3 -> Y; X -> Y; Z5 -> Y", "P(Y | do(X))", "sum_{z3, z5} P(y | x, z3, z5) P(z3, z5)"),
    Case(
        "the large example with hidden causes", FUSION,
        "Z1 -> Z2; Z1 -> Z3; Z2 -> X; Z3 -> X; X -> W0 -> Y; Z4 -> Z3; Z4 -> Z5; Z5 -> Y; X -> W1 -> W2 -> Y; Z3 -> Y; "
        "Z1 <-> X; Z2 <-> Z3; Z3 <-> Z5; Z4 <-> Y",
        "P(Y | do(X))",
    ),
    Case("one of two treatments has no effect", Z_ID, "Z -> Y; X -> Y; X <-> Z", "P(Y | do(X))", "sum_z P(y | x, z) P(z)"),
    Case("a two-treatment front door", CORREA, "X1 -> M -> Y; X2 -> N -> Y; X1 <-> Y; X2 <-> Y", "P(Y | do(X1, X2))"),
    Case("treatment and covariate confounded", CORREA, "X1 -> Z -> X2; X1 -> Y; X1 -> X2 -> Y; X1 <-> Z; Z <-> Y", "P(Y | do(X2))"),
    Case("a trapdoor", "Helske, Tikka and Karvanen (2021), Estimation of causal effects with small data", "W -> Z -> X -> Y; W <-> X; W <-> Y", "P(Y | do(X))", "(sum_w P(x, y | w, z) P(w)) / (sum_w P(x | w, z) P(w))"),
    Case("the example with three hidden causes", TIAN, "Z1 -> X1 -> X2 -> Y; Z2 -> Y; Z1 <-> Z2; Z1 <-> X2; Z2 <-> X2", "P(Y | do(X2))"),
    Case("two ways out of the treatment", TIAN, "X -> Z -> Y; X -> W -> Y; W <-> Y", "P(Y | do(X))", "P(y | x)"),
]  # fmt: skip

NOT_IDENTIFIABLE = [
    Case("bow", PEARL_95, "X -> Y; X <-> Y", "P(Y | do(X))"),
    Case("a confounded first step", PEARL_95, "X -> Z -> Y; X <-> Z", "P(Y | do(X))"),
    Case("the mediator of a confounded first step", PEARL_95, "X -> Z -> Y; X <-> Z", "P(Z | do(X))"),
    Case("a confounded mediator", PEARL_95, "X -> Z -> Y; X -> Y; X <-> Z", "P(Y | do(X))"),
    Case("instrument", PEARL_95, "Z -> X -> Y; X <-> Y", "P(Y | do(X))"),
    Case("two instruments", PEARL_95, "Z -> X; W -> X; X -> Y; X <-> Y", "P(Y | do(X))"),
    Case("bow with a confounder", PEARL_95, "Z -> X; Z -> Y; X -> Y; X <-> Y", "P(Y | do(X))"),
    Case("bow with a confounder, within strata", IDC_06, "Z -> X; Z -> Y; X -> Y; X <-> Y", "P(Y | do(X), Z)"),
    Case("bow in two steps", PEARL_95, "X -> Z -> Y; X <-> Z; Z <-> Y", "P(Y | do(X))"),
    Case("both arrows of the front door confounded", PEARL_95, "X -> Z -> Y; X <-> Y; Z <-> Y", "P(Y | do(X))"),
    Case("the first arrow of the front door confounded", PEARL_95, "X -> Z -> Y; X <-> Y; X <-> Z", "P(Y | do(X))"),
    Case("front door with a direct path", PEARL_95, "X -> M -> Y; X -> Y; X <-> Y", "P(Y | do(X))"),
    Case("an instrument that is confounded", PEARL_95, "Z -> X -> Y; Z <-> X; X <-> Y", "P(Y | do(X))"),
    Case("an instrument that is a confounder", PEARL_95, "Z -> X -> Y; Z -> Y; X <-> Z; Z <-> Y; X <-> Y", "P(Y | do(X))"),
    Case("confounding and a collider that causes", PEARL_95, "Z -> X; Z -> Y; X -> Y; X <-> Z; Z <-> Y", "P(Y | do(X))"),
    Case("one of two paths confounded", PEARL_95, "X -> Z -> Y; X -> W -> Y; X <-> Z", "P(Y | do(X))"),
    Case("direct effect with a confounded outcome", PEARL_09, "X -> M -> Y; X -> Y; M <-> Y", "P(Y | do(X, M))"),
    Case("hedge over two outcomes", ID_06, "W -> X -> Y1; Z -> Y2; W -> Z; W <-> Y1; W <-> Z; W <-> Y2; X <-> Z", "P(Y1, Y2 | do(X))"),
    Case("hedge over a chain", ID_06, "X -> A -> B; X <-> B; A <-> B; X <-> A", "P(B | do(X))"),
    Case("hedge that leads to an ancestor", ID_06, "X -> A -> Y; X <-> A; Y -> Z", "P(Z | do(X))"),
    Case("hedge to two roots", ID_06, "X -> A; X -> B; X <-> A; A <-> B", "P(A, B | do(X))"),
    Case("conditioning that does not help", IDC_06, "X -> Y; X <-> Y; Y -> Z", "P(Y | do(X), Z)"),
    Case("conditioning that harms", IDC_06, "X -> Z; X <-> Z; Y -> Z; X -> Y", "P(Y | do(X), Z)"),
    Case("surrogate experiment, figure 1 a", Z_ID, "Z -> X -> Y; Z <-> X; Z <-> Y", "P(Y | do(X))"),
    Case("conditioning on a bow", IDC_06, "X -> Z; X <-> Z; Z <-> Y", "P(Y | do(X), Z)"),
    Case("bow behind an observed cause", HIERARCHY, "W -> X; W -> Y; X -> Y; X <-> Y; W <-> Y", "P(Y | do(X))"),
    Case("hidden causes of the mediator and of both ends", HIERARCHY, "X -> Y; X -> Z -> Y; Z <-> Y; X <-> Z", "P(Y | do(X))"),
    Case("five variables in a row", TIAN, "V1 -> V2 -> V3 -> V4 -> V5; V1 <-> V2; V2 <-> V4; V3 <-> V5", "P(V5 | do(V1))"),
    Case("a path of hidden causes to a child", TIAN, "X -> A -> Y; X <-> B; B <-> A; B -> Y", "P(A, B, Y | do(X))"),
    Case("a path of hidden causes through a cause", TIAN, "B -> X; X -> Y; X <-> B; B <-> Y", "P(Y | do(X))"),
    Case("the treatment of a sequence", TIAN, "X1 -> X2 -> Y; X1 -> Y; X1 <-> Y", "P(Y | do(X1, X2))"),
    Case("a sequence with a confounded covariate", KUROKI, "X1 -> Z -> X2; X2 -> Y; X1 <-> Z; Z -> Y", "P(Y | do(X1, X2))"),
    Case("a sequence, the last treatment confounded", KUROKI, "X1 -> X2 -> Y; X1 -> Y; X2 <-> Y", "P(Y | do(X1, X2))"),
    Case("napkin with one more hidden cause", WHY, "W -> R -> X -> Y; W <-> X; W <-> Y; X <-> Y", "P(Y | do(X))"),
    Case("napkin with a confounded middle", WHY, "W -> R -> X -> Y; W <-> X; W <-> Y; R <-> X", "P(Y | do(X))"),
    Case("Verma with a bow", VERMA, "A -> B -> C -> D; B <-> D; C <-> D", "P(D | do(C))"),
    Case("an experiment would do", Z_ID, "Z -> X -> Y; X <-> Y; Z <-> Y", "P(Y | do(X))"),
    Case("two confounded treatments", CORREA, "X1 -> Y; X2 -> Y; X1 <-> X2; X2 <-> Y", "P(Y | do(X1, X2))"),
    Case("the effect of the outcome's cause on all", CORREA, "X -> Y -> Z; X <-> Y; Y <-> Z", "P(Z | do(X))"),
    Case("a proxy of the confounder", "Kuroki and Pearl (2014), Measurement bias and effect restoration", "X -> Y; X <-> Y; W <-> X; W <-> Y", "P(Y | do(X))"),
    Case("two proxies of the confounder", "Kuroki and Pearl (2014), Measurement bias and effect restoration", "X -> Y; X <-> Y; W <-> X; W <-> Y; Z <-> X; Z <-> Y; W <-> Z", "P(Y | do(X))"),
    Case("hidden causes in a ring", TIAN, "X -> A -> Y; X -> Y; X <-> A; A <-> Y; X <-> Y", "P(Y | do(X))"),
]  # fmt: skip

CASES = IDENTIFIABLE + NOT_IDENTIFIABLE
