"""ID and IDC: whether P(y | do(x), z) follows from the graph and the observed distribution, and how.

Tian's form of the algorithm: Q[c] = P(c | do(all others)) is carried through for sets c of variables, never re-read
from the joint distribution. Before each general step the short ways are tried (the rules of do-calculus alone, and
adjustment), so that estimands and proofs come out as textbooks have them.

References:
    Tian and Pearl (2002), A general identification condition for causal effects; Shpitser and Pearl (2006),
    Identification of joint interventional distributions, and Identification of conditional interventional
    distributions; Huang and Valtorta (2006), Identifiability in causal Bayesian networks.
"""

from causal_pyro_models.identification.deciding.bit_graph import BitGraph, bits
from causal_pyro_models.identification.deciding.equalities import (
    Adjusted,
    Chain,
    Equality,
    Extracted,
    Factored,
    Marginal,
    Moved,
    Observed,
    Ratio,
    Statement,
    contiguous_order,
)


class HedgeFound(Exception):
    """The search ended at a hedge.

    Args:
        forest: the variables of the larger C-forest.
        core: the variables of the smaller one.
        statement: the effect P(y | do(x)) that it stands in the way of.
    """

    def __init__(self, forest: int, core: int) -> None:
        self.forest = forest
        self.core = core
        self.statement = Statement(0)


def conditional_effect(g: BitGraph, y: int, x: int, z: int = 0) -> Equality:
    """How P(y | do(x), z) is identified.

    Raises:
        HedgeFound: where it is not.
    """
    here = Statement(y, x, z)
    simpler = _without_irrelevant(g, here)
    if simpler != here:
        return Moved(here, conditional_effect(g, simpler.y, simpler.x, simpler.z))
    short = _short_way(g, here)
    if short is not None:
        return short
    for i in bits(z):  # line 1 of IDC
        one = 1 << i
        if g.separated(y, one, x | z ^ one, over=x, under=one):
            return Moved(here, conditional_effect(g, y, x | one, z ^ one))
    return Ratio(here, conditional_effect(g, y | z, x)) if z else _factored(g, y, x)


def _without_irrelevant(g: BitGraph, s: Statement) -> Statement:
    """The statement after one use of rule 3 or rule 1 that takes something away, where there is one."""
    reach = _ancestors_under(g, s.y | s.z, s.x)
    if s.x & ~reach:
        return Statement(s.y, s.x & reach, s.z)
    for i in bits(s.z) if s.x else ():
        one = 1 << i
        if g.separated(s.y, one, s.x | s.z ^ one, over=s.x):
            return Statement(s.y, s.x, s.z ^ one)
    for i in bits(s.x) if s.z else ():
        one = 1 << i
        over = s.x if not one & _ancestors_under(g, s.z, s.x ^ one) else s.x ^ one
        if g.separated(s.y, one, s.x ^ one | s.z, over=over):
            return Statement(s.y, s.x ^ one, s.z)
    return s


def _ancestors_under(g: BitGraph, mask: int, x: int) -> int:
    """The ancestors of some variables in the graph without the edges into x."""
    found = todo = mask
    while todo:
        i = todo.bit_length() - 1
        above = 0 if x >> i & 1 else g.parents[i] & ~found
        found |= above
        todo = (todo ^ (1 << i)) | above
    return found


def _short_way(g: BitGraph, s: Statement) -> Equality | None:
    """Nothing to do, rule 2 for all of x, or adjustment."""
    if not s.x:
        return Observed(s)
    if g.separated(s.y, s.x, s.z, under=s.x):
        return Moved(s, Observed(Statement(s.y, 0, s.x | s.z)))
    w = _adjustment(g, s)
    return None if w is None else Adjusted(s, w)


def _adjustment(g: BitGraph, s: Statement) -> int | None:
    """A minimal set that satisfies the back-door criterion given z, as near to y as there is one.

    References:
        Van der Zander and Liskiewicz (2020), Finding minimal d-separators in linear time and applications.
    """
    known = s.x | s.y | s.z
    allowed = g.ancestors(known, g.all) & ~g.descendants(s.x, g.all) & ~known
    near_y = g.connected(s.y, allowed | s.z, s.x | allowed, under=s.x)
    if near_y & s.x:
        return None
    near_x = g.connected(s.x, near_y & allowed | s.z, s.y | allowed, under=s.x)
    w = near_y & near_x & allowed
    if s.z and not g.separated(w, s.x, s.z, over=s.x & ~g.ancestors(s.z, g.all)):
        return None
    return w


def _factored(g: BitGraph, y: int, x: int) -> Equality:
    """Lines 2 to 7 of ID, where each x has a directed path to y that no other x intercepts."""
    g = g.bypassing(x | y, g.ancestors(x | y, g.all))
    d = g.ancestors(y, g.all & ~x)
    try:
        return Factored(Statement(y, x), d, tuple(_component(g, c) for c in g.districts(d)))
    except HedgeFound as found:
        found.statement = Statement(y, x)
        raise


def _component(g: BitGraph, c: int) -> Equality:
    """How Q[c] = P(c | do(parents of c)) is identified, from the distribution of the ancestors of c."""
    here = Statement(c, g.parents_of(c))
    within = g.ancestors(c, g.all)
    t = g.district(c, within)
    if t == c:
        return chain(g, t, within)
    return _short_way(g, here) or extracted(g, c, chain(g, t, within))


def chain(g: BitGraph, t: int, within: int) -> Chain:
    """Q[t] for a district t of the subgraph over ``within``, which holds its own ancestors."""
    pillows = []
    for v in bits(t):
        district = g.district(1 << v, within & ((2 << v) - 1))
        pillows.append((v, (district | g.parents_of(district)) & ~(1 << v)))
    return Chain(Statement(t, g.parents_of(t)), tuple(pillows))


def extracted(g: BitGraph, c: int, whole: Equality) -> Equality:
    """Q[c] from Q[t], where t is connected by bidirected edges, as c is (Tian's algorithm Identify)."""
    t = whole.statement.y
    a = g.ancestors(c, t)
    if a == t:
        raise HedgeFound(t, c)
    whole = Marginal(Statement(a, g.parents_of(a)), whole)
    d = g.district(c, a)
    if d != a:
        whole = Extracted(Statement(d, g.parents_of(d)), whole, contiguous_order(g, a, d))
    return whole if d == c else extracted(g, c, whole)
