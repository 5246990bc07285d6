"""What a suite of checks measured: figures and their limits."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Check:
    """One check: its worst figure, the limit for it, and what a figure over the limit means.

    Example:
        >>> Check("round trip", 2e-7, 1e-5).passed, Check("density", float("nan"), 1e-8).passed
        (True, False)
    """

    name: str
    figure: float
    limit: float
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure is within the limit; one that is no number is not."""
        return self.figure <= self.limit

    def __str__(self) -> str:
        return f"the check '{self.name}': {self.failure} (found {self.figure:.3g}, the limit is {self.limit:.3g})"


@dataclass
class CheckReport:
    """The checks of one subject, by name."""

    subject: str
    checks: list[Check] = field(default_factory=list)

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def __repr__(self) -> str:
        passed = sum(check.passed for check in self.checks)
        of = "" if passed == len(self.checks) else f" of {len(self.checks)}"
        return "\n".join([f"{self.subject}: {passed}{of} checks passed", *self.rows()])

    def rows(self) -> list[str]:
        """A line for each check."""
        return [
            f"  {c.name:<24} {c.figure:>10.3g}  (limit {c.limit:.3g})" + ("" if c.passed else f" FAILED: {c.failure}")
            for c in self.checks
        ]
