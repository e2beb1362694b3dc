"""Publications that methods and models come from, and citations of them in text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pyem import models

if TYPE_CHECKING:
    from pyem.model.model import Model
    from pyem.results.fit import Fit

HUYS = (
    "Huys, Q. J. M., Cools, R., Gölzer, M., Friedel, E., Heinz, A., Dolan, R. J., & Dayan, P. (2011). Disentangling the "
    "roles of approach, activation and valence in instrumental and Pavlovian responding. PLoS Computational Biology, 7(4), "
    "e1002028. https://doi.org/10.1371/journal.pcbi.1002028"
)
BOCK = (
    "Bock, R. D., & Aitkin, M. (1981). Marginal maximum likelihood estimation of item parameters: Application of an EM "
    "algorithm. Psychometrika, 46(4), 443-459. https://doi.org/10.1007/BF02293801"
)
TREFETHEN = (
    "Trefethen, L. N., & Weideman, J. A. C. (2014). The exponentially convergent trapezoidal rule. SIAM Review, 56(3), "
    "385-458. https://doi.org/10.1137/130932132"
)
NUTS = (
    "Hoffman, M. D., & Gelman, A. (2014). The No-U-Turn sampler: Adaptively setting path lengths in Hamiltonian Monte Carlo. "
    "Journal of Machine Learning Research, 15, 1593-1623. https://doi.org/10.48550/arXiv.1111.4246"
)
NUMPYRO = (
    "Phan, D., Pradhan, N., & Jankowiak, M. (2019). Composable effects for flexible and accelerated probabilistic programming "
    "in NumPyro. https://doi.org/10.48550/arXiv.1912.11554"
)
RHAT = (
    "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B., & Bürkner, P.-C. (2021). Rank-normalization, folding, and "
    "localization: An improved R̂ for assessing convergence of MCMC. Bayesian Analysis, 16(2), 667-718. "
    "https://doi.org/10.1214/20-BA1221"
)
RUE = (
    "Rue, H., Martino, S., & Chopin, N. (2009). Approximate Bayesian inference for latent Gaussian models by using "
    "integrated nested Laplace approximations. Journal of the Royal Statistical Society B, 71(2), 319-392. "
    "https://doi.org/10.1111/j.1467-9868.2008.00700.x"
)
PIRAY = (
    "Piray, P., Dezfouli, A., Heskes, T., Frank, M. J., & Daw, N. D. (2019). Hierarchical Bayesian inference for concurrent "
    "model fitting and comparison for group studies. PLoS Computational Biology, 15(6), e1007043. "
    "https://doi.org/10.1371/journal.pcbi.1007043"
)
KUCUKELBIR = (
    "Kucukelbir, A., Tran, D., Ranganath, R., Gelman, A., & Blei, D. M. (2017). Automatic differentiation variational "
    "inference. Journal of Machine Learning Research, 18(14), 1-45. https://doi.org/10.48550/arXiv.1603.00788"
)
DAW = (
    "Daw, N. D. (2011). Trial-by-trial data analysis using computational models. In Decision making, affect, and learning: "
    "Attention and performance XXIII (pp. 3-38). https://doi.org/10.1093/acprof:oso/9780199600434.003.0001"
)
WILSON = (
    "Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife, "
    "8, e49547. https://doi.org/10.7554/eLife.49547"
)
STEPHAN = (
    "Stephan, K. E., Penny, W. D., Daunizeau, J., Moran, R. J., & Friston, K. J. (2009). Bayesian model selection for group "
    "studies. NeuroImage, 46(4), 1004-1017. https://doi.org/10.1016/j.neuroimage.2009.03.025"
)
RIGOUX = (
    "Rigoux, L., Stephan, K. E., Friston, K. J., & Daunizeau, J. (2014). Bayesian model selection for group studies - "
    "revisited. NeuroImage, 84, 971-985. https://doi.org/10.1016/j.neuroimage.2013.08.065"
)
KASS = (
    "Kass, R. E., & Raftery, A. E. (1995). Bayes factors. Journal of the American Statistical Association, 90(430), 773-795. "
    "https://doi.org/10.1080/01621459.1995.10476572"
)
SCHWARZ = (
    "Schwarz, G. (1978). Estimating the dimension of a model. The Annals of Statistics, 6(2), 461-464. "
    "https://doi.org/10.1214/aos/1176344136"
)
AKAIKE = (
    "Akaike, H. (1974). A new look at the statistical model identification. IEEE Transactions on Automatic Control, 19(6), "
    "716-723. https://doi.org/10.1109/TAC.1974.1100705"
)
LOO = (
    "Vehtari, A., Gelman, A., & Gabry, J. (2017). Practical Bayesian model evaluation using leave-one-out cross-validation and "
    "WAIC. Statistics and Computing, 27(5), 1413-1432. https://doi.org/10.1007/s11222-016-9696-4"
)
HOLM = (
    "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics, 6(2), "
    "65-70."
)
BATES = (
    "Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal of "
    "Statistical Software, 67(1), 1-48. https://doi.org/10.18637/jss.v067.i01"
)
GELMAN = (
    "Gelman, A., Meng, X.-L., & Stern, H. (1996). Posterior predictive assessment of model fitness via realized "
    "discrepancies. Statistica Sinica, 6(4), 733-760."
)

OF_METHOD: dict[str, tuple[str, ...]] = {
    "mle": (DAW,),
    "map": (DAW,),
    "em": (HUYS,),
    "hbi": (PIRAY,),
    "grid": (TREFETHEN,),
    "nuts": (NUTS, NUMPYRO),
    "svi": (KUCUKELBIR, NUMPYRO),
    "bayes": (RUE,),
}
"""Publications that each method of inference comes from."""
OF_CRITERION: dict[str, tuple[str, ...]] = {
    "integrated_bic": (HUYS,),
    "lme": (KASS,),
    "bic": (SCHWARZ,),
    "aic": (AKAIKE,),
    "loo": (LOO,),
    "waic": (LOO,),
}
"""Publications that each criterion comes from."""


def of_model(model: Model) -> list[str]:
    """Publications that a registered model comes from; for other models their own reference, if there is one."""
    if model.recipe:
        return models.cited(model.recipe[0][0])
    return [model.reference] if model.reference else []


def of_fit(fit: Fit) -> list[str]:
    """Publications that a fit's method and model come from."""
    exact = (BOCK,) if fit.method == "em" and "effective_nodes" in fit.trace else ()
    return [*OF_METHOD.get(fit.method, ()), *exact, *of_model(fit.model)]


def printed(reference: str) -> str:
    """Write a reference with dashes between pages, as in print.

    Examples
    --------
    >>> printed("A. (2001). B, 1(2), 3-4. https://doi.org/10.1/2-3").count("-")
    1
    """
    text, mark, address = reference.partition("https://")
    return re.sub(r"(?<=\d)-(?=\d)", "\N{EN DASH}", text) + mark + address


def alphabetical(references: Iterable[str]) -> list[str]:
    """Each publication once, in the order of a list of references."""
    once: dict[str, str] = {}
    for reference in references:
        found = re.search(r"https?://\S+", reference)
        once.setdefault(found[0].rstrip(".").lower() if found else reference, reference)
    return sorted(map(printed, once.values()), key=str.casefold)


def short(reference: str) -> str:
    """Author and year of a publication, as cited in text.

    Examples
    --------
    >>> short(HUYS), short(KASS), short("Mazur, J. E. (2001). Hyperbolic value. https://doi.org/10.1037/0033-295X.108.1.96")
    ('Huys et al., 2011', 'Kass & Raftery, 1995', 'Mazur, 2001')
    >>> short("https://doi.org/10.1000/1")
    'https://doi.org/10.1000/1'
    """
    found = re.match(r"(.+?) \((\d{4})[a-z]?\)", reference)
    if found is None:
        return reference
    # A family name is what stands before initials.
    names = re.findall(r"(?:^|, (?:& )?|& )([^,&]+?), (?:\w\.[ -]?)+", found[1])
    others = "et al." in found[1] or "..." in found[1]
    if not names:
        return f"{found[1]}, {found[2]}"
    if others or len(names) > 2:
        return f"{names[0]} et al., {found[2]}"
    return f"{' & '.join(names)}, {found[2]}"


def named(references: Sequence[str]) -> str:
    """Name publications in running text, each once.

    Examples
    --------
    >>> named([KASS, HUYS])
    'Huys et al., 2011; Kass & Raftery, 1995'
    """
    return "; ".join(dict.fromkeys(map(short, sorted(references, key=str.casefold))))


def cite(references: Sequence[str]) -> str:
    """Cite publications in brackets; empty if there are none.

    Examples
    --------
    >>> cite([HUYS]), cite([])
    (' (Huys et al., 2011)', '')
    """
    return f" ({named(references)})" if references else ""
