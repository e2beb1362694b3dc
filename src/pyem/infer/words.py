"""Arguments that some ways of fitting do not take, each with advice on what to use instead: see `pyem.errors.without`."""

ALONE = {"group": "it fits people on their own; fit_em, fit_grid, fit_bayes, fit_nuts and fit_svi fit a group"}
"""Arguments that fits of people on their own do not take, with advice."""

MLE = ALONE | dict.fromkeys(
    ("priors", "mean", "sd", "log_prior"),
    "maximum likelihood has no prior; fit_map is the same with one",
)
"""Arguments that maximum likelihood does not take, with advice."""

GROUP = {"common": "parameters that are common to all are said in the group: group=pyem.Group(common=[...])"}
"""Arguments that fits of a group do not take, with advice."""

EM = GROUP | dict.fromkeys(
    ("mean", "sd", "log_prior"),
    "people's prior is the group, and is estimated; priors= is of the group's parameters, and fit_map fits people on "
    "their own under a prior that is given",
)
"""Arguments that EM does not take, as it estimates the group, with advice."""

SAMPLED = GROUP | {"log_prior": "priors= has NumPyro distributions by name; fit_map and fit_grid take any log density"}
"""Arguments that samplers do not take, whose priors are NumPyro distributions, with advice."""

HBI = {
    "group": "each model has a Gaussian group of independent parameters, which is that of the method; fit_em takes others",
    "common": "all parameters differ between people; fit_em and fit_bayes take common ones in their group",
} | dict.fromkeys(
    ("priors", "mean", "sd", "log_prior"),
    "its priors are those of the method: beta=, shape= and rate= of each model's group, concentration= of the frequencies; "
    "others are taken by fit_bayes, one model at a time (compare_fits then compares them)",
)
"""Arguments that hierarchical Bayesian inference of several models does not take, with advice."""
