"""Tables of people, as the textbooks of effect estimation have them."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from causal_pyro_models.errors import unknown_variable

if TYPE_CHECKING:
    import pandas as pd


def nhefs() -> pd.DataFrame:
    """Smoking cessation (``qsmk``) and weight change (``wt82_71``, kg) of 1,629 smokers, with nine covariates.

    Adjusted for the covariates, stopping raises weight by about 3.4 kg (Hernán and Robins, chapter 13). Weight change
    is missing for 63 of them. ``data/nhefs/README.md`` beside this module tells the columns, the source and the
    licence.

    References:
        M. A. Hernán, J. M. Robins (2020). Causal inference: What if. Chapman & Hall/CRC.

    Example:
        >>> table = nhefs()
        >>> table.shape, int(table["wt82_71"].isna().sum())
        ((1629, 11), 63)
    """
    return _read("nhefs", "nhefs")


def lalonde(controls: str = "nsw") -> pd.DataFrame:
    """Job training (``treat``) and earnings in 1978 (``re78``, dollars), with eight covariates.

    In the experiment the difference in means is 1,794 dollars. ``data/lalonde/README.md`` beside this module tells the
    columns, the source and the licence.

    Args:
        controls: "nsw" for those of the experiment, 445 rows in all; "cps" for men of a survey in their place, 16,177.

    Raises:
        UnknownVariableError: other controls.

    References:
        R. LaLonde (1986). Evaluating the econometric evaluations of training programs with experimental data. American
        Economic Review.
        R. Dehejia, S. Wahba (1999). Causal effects in nonexperimental studies. Journal of the American Statistical
        Association.

    Example:
        >>> means = lalonde().groupby("treat")["re78"].mean()
        >>> round(means[1] - means[0])
        1794
        >>> len(lalonde("cps"))
        16177
    """
    import pandas as pd

    if controls not in ("nsw", "cps"):
        raise unknown_variable(controls, ("nsw", "cps"), "group of controls")
    experiment = _read("lalonde", "nsw")
    if controls == "nsw":
        return experiment
    return pd.concat([experiment[experiment["treat"] == 1], _read("lalonde", "cps")], ignore_index=True)


def _read(folder: str, name: str) -> pd.DataFrame:
    import pandas as pd

    with (files("causal_pyro_models.datasets") / "data" / folder / f"{name}.csv.gz").open("rb") as file:
        return pd.read_csv(file, compression="gzip")
