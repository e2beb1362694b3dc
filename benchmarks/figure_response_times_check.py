"""The figure of the predictive check on the page of response times: the data of Cavanagh et al. (2011)."""

from __future__ import annotations

import pyem
from benchmarks.measure import ROOT


def main() -> None:
    """Fit, simulate and draw."""
    path = ROOT.parent / "shared" / "data" / "ddm_cavanagh2011.csv"
    columns = {"choice": "response", "rt": "rt", "stim": "stim"}
    data = pyem.Dataset.read(path, subject="subj_idx", columns=columns, codes={"stim": ["LL", "WL", "WW"]})
    model = pyem.regress(pyem.fix(pyem.models.get("ddm", p_outlier=0.05), z=0.5), "v ~ C(stim)")
    check = pyem.response_time_check(pyem.posterior_predictive(pyem.fit_em(model, data), draws=200, key=1), by="stim")
    print(check)
    check.plot().savefig(ROOT / "docs" / "response-times-check.svg")


if __name__ == "__main__":
    main()
