"""The models that pyEM 1.0 has besides: against plain loops, and in the shapes of its page."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest
from scipy import stats

from pyem import EMModel
from pyem.core.modelspec import ModelSpec
from pyem.models import discounting, pt, rl_mb, sdt
from pyem.utils.math import alpha2norm, beta2norm
from tests.legacy import plain_models as plain

IDS = {
    "rl_mf": "rw1a1b rw2a1b rw3a1b rw4a1b",
    "rl_mb": "sarsa_lambda model_based hybrid_mbmf",
    "bayes": "bayes",
    "glm": "glm glm_decay glm_ar logit logit_decay",
    "discounting": "sd_hyp_wk sd_hyp_k sd_par_k sd_lin_k td_hyp_k prd_hyp_k ed_par_k ped_par_k ped_par_2k",
    "pt": "pt",
    "sdt": "sdt",
    "ddm": "ddm4 ddm4_lotto",
}


@pytest.mark.parametrize(("module", "id"), [(module, id) for module, ids in IDS.items() for id in ids.split()])
def test_every_model_has_its_six_names(module, id):
    where = importlib.import_module(f"pyem.models.{module}")
    spec = getattr(where, f"{id}_model")
    assert isinstance(spec, ModelSpec)
    assert spec.params is None
    assert isinstance(spec.spec, dict)
    assert isinstance(spec.desc, str)
    same = {"sim": spec.sim, "fit": spec.fit, "id": spec.id, "spec": spec.spec, "desc": spec.desc}
    assert all(getattr(where, f"{id}_{name}") is value for name, value in same.items())
    assert spec.id == id
    assert spec.fit.__name__ == f"{id}_fit"
    assert pickle.loads(pickle.dumps(spec.fit)) is spec.fit
    assert copy.deepcopy(spec.sim) is spec.sim


# -- two-step task ----------------------------------------------------------------------------------------------------

TWO_STEP = {
    "sarsa_lambda": [4.0, 3.0, 0.4, 0.3, 0.6, 0.2],
    "model_based": [4.0, 3.0, 0.3, 0.2],
    "hybrid_mbmf": [4.0, 3.0, 0.4, 0.3, 0.6, 0.5, -0.2],
}
KEYS = ["choices1", "states2", "choices2", "rewards"]


def unconstrained(natural):
    """Betas first, r last, rates between."""
    return np.array([*map(beta2norm, natural[:2]), *map(alpha2norm, natural[2:-1]), natural[-1]], float)


@pytest.mark.parametrize("id", TWO_STEP)
def test_two_step_models_are_loops_over_trials(id):
    rng = np.random.default_rng(4)
    data = [
        rng.integers(2, size=60),
        rng.integers(2, size=60),
        rng.integers(2, size=60),
        rng.integers(2, size=60) * 1.0,
    ]
    fit, x = getattr(rl_mb, f"{id}_fit"), unconstrained(TWO_STEP[id])
    out = fit(x, *data, output="all")
    assert list(out) == ["params", *KEYS, "nll"]
    np.testing.assert_allclose(out["params"], TWO_STEP[id], rtol=1e-9)
    assert out["nll"] == pytest.approx(plain.two_step(x, *data, kind=id), rel=1e-12)
    missed = [*data[:2], np.where(np.arange(60) == 59, np.nan, data[2]), data[3]]
    without = plain.two_step(x, *data, kind=id) - plain.two_step(x, *(part[:59] for part in data), kind=id)
    assert 0 < out["nll"] - fit(x, *missed, output="all")["nll"] < without
    if id == "model_based":
        with pytest.raises(ValueError, match=r"choices1 must have shape \(ntrials,\)"):
            fit(x, data[0][None], *data[1:])
        with pytest.raises(ValueError, match="states2 has 2; expected 0 and 1"):
            fit(x, data[0], data[1] + 1, *data[2:])


def test_simulations_of_the_two_step_task():
    params = np.array([TWO_STEP["hybrid_mbmf"], [25.0, 5.0, 0.0, 1.0, 0.0, 1.0, 0.3]])
    sim = rl_mb.hybrid_mbmf_sim(params, ntrials=300, seed=2)
    shapes = {name: np.shape(value) for name, value in sim.items()}
    assert shapes == {
        "params": (2, 7),
        **dict.fromkeys(KEYS, (2, 300)),
        "ch_prob1": (2, 300, 2),
        "ch_prob2": (2, 300, 2),
        "rewprob": (2, 2, 2, 300),
    }
    assert sim["choices1"].dtype.kind == "i"
    assert sim["rewards"].dtype.kind == "f"
    x = unconstrained(TWO_STEP["hybrid_mbmf"])
    chosen = [np.take_along_axis(sim[f"ch_prob{k}"][0], sim[f"choices{k}"][0][:, None], axis=1) for k in (1, 2)]
    nll = plain.two_step(x, *(sim[key][0] for key in KEYS))
    assert -np.log(chosen).sum() == pytest.approx(nll, rel=1e-9)
    walks = sim["rewprob"]
    assert walks.min() >= 0.25
    assert walks.max() <= 0.75
    assert np.abs(np.diff(walks)).std() < 0.025
    # Four standard errors around .7, and rewards come with the chances that are told.
    assert (sim["states2"] == sim["choices1"]).mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 600))
    told = np.array(
        [
            [walks[s, a, b, t] for t, (a, b) in enumerate(zip(sim["states2"][s], sim["choices2"][s], strict=True))]
            for s in (0, 1)
        ]
    )
    assert (sim["rewards"] - told).mean() == pytest.approx(0, abs=4 * 0.5 / np.sqrt(600))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([-1.0, 3.0, 0.4, 0.3, 0.6, 0.5, 0.2], r"beta1 out of bounds \(0, inf\)"),
        ([4.0, 3.0, 1.4, 0.3, 0.6, 0.5, 0.2], r"alpha1 out of bounds \[0, 1\]"),
        ([4.0, 3.0, 0.4, 0.3, 0.6, 0.5, np.nan], "r must be finite"),
        ([4.0, 3.0], r"params must be \(nsubjects, 7\) = \[beta1, beta2, alpha1, alpha2, lambda, omega, r\]"),
    ],
)
def test_two_step_simulations_refuse_what_is_out_of_bounds(params, words):
    with pytest.raises(ValueError, match=words):
        rl_mb.hybrid_mbmf_sim([params], ntrials=5)


# -- discounting ------------------------------------------------------------------------------------------------------

DISCOUNTING = {
    "sd_hyp_wk": [0.8, 0.1],
    "sd_hyp_k": [0.05],
    "sd_par_k": [0.02],
    "sd_lin_k": [0.9],
    "td_hyp_k": [0.05],
    "prd_hyp_k": [1.2],
    "ed_par_k": [1.5],
    "ped_par_k": [1.5],
    "ped_par_2k": [1.0, 2.5],
}
BLOCK = {"sd": "social_dists", "td": "delays", "pr": "probs", "ed": "effort_levels", "pe": "effort_levels"}
OF_CHOICE = {
    "sd": ("choices_prosocial", "p_prosocial", "U_self", "U_other"),
    "td": ("choices_later", "p_later", "V_sooner", "V_later"),
    "pr": ("choices_risky", "p_risky", "V_certain", "V_risky"),
    "ed": ("choices_high", "p_high", "V_low", "V_high"),
}


@pytest.mark.parametrize("id", DISCOUNTING)
def test_discounting_models_are_their_formulas(id):
    natural, kind = np.array([DISCOUNTING[id], DISCOUNTING[id]]), id[:2]
    sim = getattr(discounting, f"{id}_sim")(natural, seed=3)
    block, (taken, chance, first, second) = sim[BLOCK[kind]], OF_CHOICE["ed" if kind == "pe" else kind]
    whose = {"beneficiary": sim["beneficiary"][0]} if kind == "pe" else {}
    n_blocks = block.shape[1]
    assert n_blocks == (14 if kind == "pe" else 7)
    values = plain.discounted(id, DISCOUNTING[id], sim["payouts"][0], block[0], *whose.values())
    codes = sim[taken][0].astype(int)
    nll = plain.choices_nll(values, codes)
    np.testing.assert_allclose(sim["nll"][0], nll, rtol=1e-9, atol=1e-12)
    assert sim["nll_total"][0] == pytest.approx(nll.sum(), rel=1e-12)
    np.testing.assert_allclose(sim["delta_V"][0], values[..., 1] - values[..., 0], atol=1e-10)
    np.testing.assert_allclose(sim["EV"][0], np.where(codes == 1, values[..., 1], values[..., 0]), atol=1e-10)
    np.testing.assert_allclose(sim[chance], sim["ch_prob"][..., 1])
    if kind == "sd":
        np.testing.assert_allclose(sim["U_self"] + sim["U_other"], sim["EV"], atol=1e-10)
        np.testing.assert_array_equal(sim["U_self"], sim["outcomes"][..., 0])
        assert sim["outcomes"].shape == (2, 7, 9, 2)
    else:
        np.testing.assert_allclose(np.stack([sim[first], sim[second]], axis=-1)[0], values, atol=1e-10)
        np.testing.assert_array_equal(sim["outcomes"][0], np.where(codes == 1, 155.0, sim["payouts"][0, ..., 0]))
    # The fit function says the same of the same data.
    x = beta2norm(DISCOUNTING[id])
    data = [sim["choices"][0], sim["payouts"][0], block[0], *whose.values()]
    out = getattr(discounting, f"{id}_fit")(x, *data, output="all")
    assert out["nll"] == pytest.approx(nll.sum(), rel=1e-9)
    assert "nll_total" not in out
    np.testing.assert_allclose(out["nll_trialwise"], nll, rtol=1e-9, atol=1e-12)
    for name in ("EV", "delta_V", "ch_prob", taken, chance, first, second, "outcomes", BLOCK[kind], *whose):
        np.testing.assert_allclose(out[name], sim[name][0], atol=1e-9, err_msg=name)


def test_forms_of_data_of_discounting_mean_the_same():
    sim = discounting.td_hyp_k_sim([[0.05]], seed=3)
    x, (words,) = beta2norm([0.05]), sim["choices"]
    fit = discounting.td_hyp_k_fit
    nll = fit(x, words, output="nll")
    codes = sim["choices_later"][0].astype(int)
    upper = np.array([[f" {word.upper()} " for word in row] for row in words], object)
    for choices in (codes, codes.astype(bool), codes.astype(float), upper, np.where(codes == 1, "ll", "ss")):
        assert fit(x, choices, output="nll") == nll
    assert fit(x, codes, discounting.TD_PAYOUTS[None], discounting.DEFAULT_DELAYS, output="nll") == nll
    assert fit(x, codes, delays=discounting.DEFAULT_DELAYS, output="nll") == nll
    missed = words.copy()
    missed[2, 3] = None
    assert fit(x, missed, output="nll") == pytest.approx(nll - sim["nll"][0, 2, 3])
    model = EMModel([[words], [words]], fit, ["k"])
    assert np.isfinite(model.fit(verbose=0, mstep_maxit=1).NLL).all()
    assert discounting.CHOICE_LABELS[1] == "prosocial"
    assert discounting.CHOICE_MAP_ED["rest"] == 0
    assert discounting.BENEFICIARY_LABELS == {0: "self", 1: "other"}
    np.testing.assert_array_equal(discounting.TASK1_PAYOUTS[[0, -1]], [[[155, 0], [75, 75]], [[75, 0], [75, 75]]])
    np.testing.assert_array_equal(discounting.ED_PAYOUTS[[0, -1]], [[145, 155], [25, 155]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: discounting.sd_hyp_wk_sim([[0.0, 0.1]]), "w_other must be > 0"),
        (lambda: discounting.ped_par_2k_sim([[1.0, -0.1]]), "k_other must be > 0"),
        (lambda: discounting.td_hyp_k_fit([0.0], [0, 1]), r"choices must have shape \(nblocks, ntrials\)"),
        (lambda: discounting.td_hyp_k_fit([0.0], np.full((7, 9), 2)), "Numeric choices must be coded as 0 or 1"),
        (lambda: discounting.td_hyp_k_fit([0.0], np.full((7, 9), 0.5)), "Numeric choices must be coded as 0 or 1"),
        (lambda: discounting.td_hyp_k_fit([0.0], np.full((7, 9), "never")), "choices have the word 'never'"),
        (
            lambda: discounting.td_hyp_k_fit([0.0, 1.0], np.ones((7, 9))),
            r"params must have shape \(1,\) in normalized space: \[k\]",
        ),
        (lambda: discounting.td_hyp_k_sim([[1.0]], delays=[1.0, -2.0]), "delays values must be > 0"),
        (lambda: discounting.prd_hyp_k_sim([[1.0]], probs=[0.5, 1.2]), r"probs values must be in \(0, 1\]"),
        (
            lambda: discounting.ped_par_k_sim([[1.0]], beneficiary=[2] * 14),
            r"beneficiary entries must be 0 \(self\) or 1 \(other\)",
        ),
        (lambda: discounting.td_hyp_k_sim([[1.0]], payouts=np.ones((9, 3))), r"payouts must have shape \(ntrials, 2\)"),
    ],
)
def test_discounting_says_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_choices_that_are_far_from_any_rate_are_no_plateau():
    """pyEM's floor makes the likelihood of steep differences flat; here the search goes on."""
    steep = [discounting.ed_par_k_fit([x], np.ones((7, 9)), output="nll") for x in (3.0, 3.5)]
    assert steep[1] - steep[0] > 1


# -- prospect theory --------------------------------------------------------------------------------------------------

PT = [0.8, 0.7, 2.0, 0.6, 0.9]


def test_prospect_theory_is_its_formulas():
    sim = pt.pt_sim([PT, [1.0, 0.5, 20.0, 1.0, 1e-5]], ntrials=100, seed=2, nblocks=3)
    shapes = {name: np.shape(value) for name, value in sim.items()}
    assert shapes == {
        "params": (2, 5),
        "gamble": (2, 100, 2),
        "probs": (2, 100, 2),
        **dict.fromkeys(("certain", "choice", "Vg", "Vc", "ch_prob"), (2, 100)),
    }
    x = np.array([alpha2norm(0.8), alpha2norm(0.7), beta2norm(2.0), alpha2norm(0.6), beta2norm(0.9)])
    data = [sim[name][0] for name in ("gamble", "probs", "certain", "choice")]
    nll, vg, vc = plain.prospect(x, *data)
    out = pt.pt_fit(x, *data, output="all")
    assert out["nll"] == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(out["Vg"], vg, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out["Vc"], vc, rtol=1e-9, atol=1e-12)
    for name in ("Vg", "Vc", "ch_prob"):
        np.testing.assert_allclose(sim[name][0], out[name], rtol=1e-9, atol=1e-12)
    low = np.array([0.3, -0.2, -1.0, -8.0, -1.0])
    # A gamma below .01 counts as .01, which makes no difference.
    assert pt.pt_fit(low, *data, output="all")["nll"] == pytest.approx(plain.prospect(low, *data)[0], rel=1e-12)
    for k in (2, 4):
        beyond = x.copy()
        beyond[k] = -16.0
        assert pt.pt_fit(beyond, *data) == pt.pt_fit(beyond, *data, output="nll") == 1e7
        assert isinstance(pt.pt_fit(beyond, *data, output="all"), dict)
    # What the trials are.
    gamble, probs = sim["gamble"][0], sim["probs"][0]
    gains, losses = (gamble >= 0).all(1), (gamble <= 0).all(1)
    assert (gains.sum(), losses.sum()) == (20, 20)
    mixed = ~gains & ~losses
    assert ((gamble[mixed] > 0) == [True, False]).all()
    np.testing.assert_allclose(probs.sum(1), 1)
    assert set(np.round(probs[:, 0], 3)) <= {0.1, 0.3, 0.5, 0.7, 0.9}
    np.testing.assert_array_less(np.abs(gamble), 50.0)


def test_parts_of_prospect_theory():
    assert isinstance(pt.pt_weight(0.3, 0.5), float)
    assert pt.pt_weight(0.3, 0.5) == pytest.approx(0.3**0.5 / (0.3**0.5 + 0.7**0.5) ** 2, rel=1e-12)
    np.testing.assert_allclose(pt.pt_weight([0.0, 1.0], 0.001), [0.0, 1.0])
    assert pt.pt_value(3.0, 0.5, 0.8, 2.0) == pytest.approx(3**0.5)
    np.testing.assert_allclose(pt.pt_value([-3.0, 0.0], 0.5, 0.8, 2.0), [-2 * 3**0.8, 0.0])
    with pytest.raises(ValueError, match=r"lambda values out of bounds \[1e-5,20\]"):
        pt.pt_sim([[0.8, 0.7, 21.0, 0.6, 0.9]])
    with pytest.raises(ValueError, match=r"gamble must have shape \(3, 2\)"):
        pt.pt_fit(np.zeros(5), np.zeros(3), np.ones((3, 2)) / 2, np.zeros(3), np.zeros(3))


# -- signal detection -------------------------------------------------------------------------------------------------


def test_signal_detection_is_its_formulas():
    sim = sdt.sdt_sim([[1.5, 0.3], [0.5, -0.4]], ntrials=200, seed=1, nblocks=2)
    assert {name: np.shape(value) for name, value in sim.items()} == {
        "params": (2, 2),
        **dict.fromkeys(("is_old", "resp_old", "evidence"), (2, 200)),
    }
    np.testing.assert_array_equal(sim["is_old"].sum(1), 100)
    np.testing.assert_array_equal(sim["resp_old"], sim["evidence"] > np.array([[0.3], [-0.4]]))
    old = sim["is_old"] == 1
    # Four standard errors.
    assert sim["evidence"][0][old[0]].mean() == pytest.approx(0.75, abs=0.4)
    x = np.array([beta2norm(1.2), 0.25])
    p = stats.norm.cdf(np.where(old[0], 0.6, -0.6) - 0.25)
    nll = -np.log(np.where(sim["resp_old"][0] == 1, p, 1 - p)).sum()
    out = sdt.sdt_fit(x, sim["is_old"][0], sim["resp_old"][0], output="all")
    assert list(out) == ["params", "is_old", "resp_old", "p_old", "nll"]
    assert out["nll"] == pytest.approx(nll, rel=1e-10)
    np.testing.assert_allclose(out["p_old"], p, rtol=1e-9)
    np.testing.assert_allclose(out["params"], [1.2, 0.25], rtol=1e-9)
    assert sdt.sdt_fit([-16.0, 0.0], sim["is_old"][0], sim["resp_old"][0]) == 1e7
    with pytest.raises(ValueError, match="dprime values out of bounds"):
        sdt.sdt_sim([[0.0, 0.3]])
    with pytest.raises(ValueError, match="is_old has 2; expected 0 and 1"):
        sdt.sdt_fit(x, [0, 2], [0, 1])
