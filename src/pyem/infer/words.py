"""Arguments that some ways of fitting do not take, and what there is in their place: see `pyem.errors.without`."""

ALONE = {"group": "it fits people on their own; fit_em, fit_grid, fit_bayes, fit_nuts and fit_svi fit a group"}
"""Where people are on their own."""

MLE = ALONE | dict.fromkeys(
    ("priors", "mean", "sd", "log_prior"),
    "maximum likelihood has no prior; fit_map is the same with one",
)
"""Where there is no prior."""

GROUP = {"common": "parameters that are common to all are said in the group: group=pyem.Group(common=[...])"}
"""Where people come from a group."""

EM = GROUP | dict.fromkeys(
    ("mean", "sd", "log_prior"),
    "people's prior is the group, and is estimated; priors= is of the group's parameters, and fit_map fits people on "
    "their own under a prior that is given",
)
"""Where the group is estimated, and nobody on their own."""

SAMPLED = GROUP | {"log_prior": "priors= has NumPyro distributions by name; fit_map and fit_grid take any log density"}
"""Where NumPyro distributions are the priors."""

HBI = {
    "group": "each model has a Gaussian group of independent parameters, which is that of the method; fit_em takes others",
    "common": "all parameters differ between people; fit_em and fit_bayes take common ones in their group",
} | dict.fromkeys(
    ("priors", "mean", "sd", "log_prior"),
    "its priors are those of the method: beta=, shape= and rate= of each model's group, concentration= of the frequencies; "
    "others are taken by fit_bayes, one model at a time (compare_fits then compares them)",
)
"""Where several models are fitted at once."""
