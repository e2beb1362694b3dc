"""The names that fits of pymdp's agents import from pybefit, on this library's likelihoods.

Replace ``from pybefit.inference import ...`` and ``from pybefit.inference.numpyro.likelihoods import ...`` by
``from pyem.compat.pybefit import ...``; the rest of such a script stays as it is. `NumpyroModel` is a program of NumPyro with
or without data, `run_nuts` and `run_svi` fit it. It needs pymdp: ``pip install "pyem-behavior[aif]"``.

Examples
--------
>>> from pyem.compat.pybefit import default_dict_nuts
>>> default_dict_nuts["num_warmup"]
100
"""

from __future__ import annotations

from pyem.compat.pybefit.priors import (
    Normal,
    NormalGamma,
    NormalGammaPosterior,
    NormalPosterior,
    RegularisedHorseshoe,
    RegularisedHorseshoePosterior,
)
from pyem.compat.pybefit.program import NumpyroGuide, NumpyroModel, pymdp_likelihood
from pyem.compat.pybefit.runs import default_dict_numpyro_svi, default_dict_nuts, run_nuts, run_svi

__all__ = [
    "Normal",
    "NormalGamma",
    "NormalGammaPosterior",
    "NormalPosterior",
    "NumpyroGuide",
    "NumpyroModel",
    "RegularisedHorseshoe",
    "RegularisedHorseshoePosterior",
    "default_dict_numpyro_svi",
    "default_dict_nuts",
    "pymdp_likelihood",
    "run_nuts",
    "run_svi",
]
