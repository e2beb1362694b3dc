"""Saved fits come back bit for bit or are refused with a reason; ArviZ reads what is written for it."""

import dataclasses
import datetime
import json
import sys
import warnings

import h5py
import jax
import numpy as np
import pandas as pd
import pytest
import xarray

import pyem
from pyem import Dataset, Group, Model, Parameter, models
from pyem.engine import pointwise
from pyem.engine.evaluate import log_lik_draws
from pyem.errors import FitWarning
from pyem.results import archive, netcdf, sections
from pyem.results import files as export
from pyem.results.archive import Packer, unpack
from pyem.results.arviz import to_arviz
from pyem.results.files import load
from pyem.results.identity import follow, identity

RW = models.get("rw1a1b")


@pytest.fixture(scope="module")
def data():
    """Real-looking data: text labels, ragged blocks, missing responses and outcomes, a covariate, labelled trials."""
    frame = pyem.simulate(RW, subjects=10, blocks=2, trials=20, key=7).to_frame()
    frame["subject"] = [f"süb-{s:02d}" for s in frame.subject]
    frame["session"] = np.where(frame.block == 0, "early", "late")
    frame["response"] = np.where(frame.choice == 1, "right", "left").astype(object)
    frame.loc[[3, 57], "response"] = None
    frame.loc[[5, 90], "reward"] = np.nan
    frame["age"] = 20.0 + frame.groupby("subject").ngroup() ** 1.5
    frame = frame[~((frame.subject == "süb-04") & (frame.trial > 12))]
    return Dataset.from_frame(
        frame,
        subject="subject",
        block="session",
        trial="trial",
        columns={"choice": "response", "reward": "reward"},
        covariates=["age"],
    )


@pytest.fixture(scope="module")
def fit(data):
    return pyem.fit_em(RW, data, group=Group(covariates=["age"]))


@pytest.fixture
def path(fit, tmp_path):
    return fit.save(tmp_path / "fit.nc")


def assert_same(one, other, where="fit"):
    """Equal in type, and bit for bit where there are numbers; of a function a file knows only that there was one."""
    if isinstance(other, archive.Unsaved):
        assert callable(one), where
        return
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes(), where
    elif dataclasses.is_dataclass(one) and not isinstance(one, Model):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for k, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}.{k}")
    else:
        assert one == other or (one != one and other != other), where


# -- round trips --------------------------------------------------------------------------------------------------------

SLOW = pyem.fix(RW, alpha=0.1 + 0.2)
FITS = {
    "covariates": lambda data: pyem.fit_em(RW, data, group=Group(covariates={"age": ["alpha"]}), max_iter=20),
    "full covariance": lambda data: pyem.fit_em(RW, data, group=Group(covariance="full"), max_iter=3),
    "student_t": lambda data: pyem.fit_em(SLOW, data, group=Group("student_t", df=5)),
    "cauchy": lambda data: pyem.fit_em(
        pyem.with_lapse(SLOW), data, group=Group("cauchy"), standard_errors=False, max_iter=3
    ),
    "map": lambda data: pyem.fit_map(pyem.with_stickiness(models.get("rw1a1b", options=3, start=0.2)), data),
    "own prior": lambda data: pyem.fit_map(SLOW, data, log_prior=lambda p: -p.beta / 5),
    "maximum likelihood": lambda data: pyem.fit_mle(pyem.tie(models.get("rw2a1b"), alpha_neg="alpha_pos"), data),
}


@pytest.mark.filterwarnings("ignore::pyem.errors.FitWarning")
@pytest.mark.parametrize("kind", list(FITS))
def test_a_fit_comes_back_bit_for_bit(data, tmp_path, kind):
    fit = FITS[kind](data)
    again = load(fit.save(tmp_path / "fit.nc"))
    assert_same(fit, again)
    assert again.model == fit.model
    assert again.model.recipe == fit.model.recipe
    pd.testing.assert_frame_equal(again.table(), fit.table(), check_exact=True)
    pd.testing.assert_frame_equal(again.latents(), fit.latents(), check_exact=True)
    assert again.summary() == fit.summary()
    if fit.population is not None:
        pd.testing.assert_frame_equal(again.group_table(), fit.group_table(), check_exact=True)


def test_simulated_data_keep_their_truth(tmp_path):
    data = pyem.simulate(RW, subjects=4, trials=15, key=0, covariates={"x": np.arange(4.0)})
    fit = pyem.fit_map(SLOW, data)
    again = pyem.PointFit.load(fit.save(tmp_path / "fit.nc"))
    assert_same(fit, again)
    assert isinstance(again.data, pyem.Simulation)
    np.testing.assert_array_equal(again.data.true_params, data.true_params)


def test_grid_fits_are_written_by_the_same_functions(tmp_path):
    fit = pyem.fit_grid(SLOW, pyem.simulate(RW, subjects=3, trials=15, key=0))
    again = load(export.save(fit, tmp_path / "fit.nc"))
    assert_same(fit, again)
    assert to_arviz(fit, draws=7).posterior["beta"].shape == (1, 7, 3)
    with pytest.raises(ValueError, match=r"holds a GridFit; use pyem\.load"):
        pyem.PointFit.load(tmp_path / "fit.nc")


def test_two_files_of_one_fit_hold_the_same(fit, tmp_path):
    texts = [netcdf.read_section(fit.save(tmp_path / name), "pyem") for name in ("a.nc", "b.nc")]
    assert texts[0][0] == texts[1][0]
    assert_same(texts[0][1], texts[1][1])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -0.0,
        float("nan"),
        float("-inf"),
        0.1 + 0.2,
        'text "with" \x00 and ünicode',
        (1, ("a", [2.5, None]), {"k": (True,)}),
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 12, 30, 0, 5),
        np.array(7),
        np.array([], float),
        np.zeros((0, 3), np.int32),
        np.array([True, False]),
        np.array([[1.5, np.nan], [np.inf, -0.0]]),
        np.array([0x7FF8000000000123], np.uint64).view(float),
        np.arange(6, dtype=np.int16).reshape(2, 3).T,
        np.array(["a", "bcd"]),
        np.array(["a", 2, None, datetime.date(2024, 1, 1)], object),
        np.array(["2024-02-29", "NaT"], "datetime64[ns]"),
        Group("student_t", covariance="full", covariates={"age": ["alpha"], "sex": []}),
        Parameter("w", pyem.Interval(-1, 2.5), "weights", size=3),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_values_come_back(value):
    pack = Packer(identity)
    text = netcdf.to_json(pack(value, "a/value"))
    assert_same(unpack(json.loads(text), pack.arrays, lambda _: None), value)
    assert all("/" not in name for name in pack.arrays)


def test_arrays_of_like_names_stay_apart():
    value = {"a b": np.arange(3), "a_b": np.arange(4), "a/b": np.arange(5)}
    pack = Packer(identity)
    packed = pack(value)
    assert len(pack.arrays) == 3
    assert_same(unpack(packed, pack.arrays, lambda _: None), value)


@pytest.mark.parametrize(
    "value", [print, {1: 2}, np.array([1j]), np.array([b"x"]), np.zeros(2, np.float16), {"s": {1}}]
)
def test_what_files_cannot_hold_is_said(value):
    with pytest.raises(ValueError, match="cannot be written to a file"):
        Packer(identity)({"place": value})


# -- models -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_every_registered_model_is_made_again(name):
    model = models.get(name)
    stored = identity(model, Packer(identity))
    assert stored["recipe"] is not None
    assert follow(model.recipe) == model


def test_a_model_made_by_its_factory_is_found_in_the_registry():
    from pyem.models import learning as rl

    assert identity(rl.rw1a1b(), Packer(identity))["recipe"] is not None
    assert identity(rl.rw1a1b(start=0.1), Packer(identity))["recipe"] is None


@pytest.fixture(scope="module")
def custom(data):
    model = Model("mine", RW.parameters, RW.policy, RW.init, RW.update, options=2, outcomes=("reward",))
    return pyem.fit_map(model, data)


def test_a_custom_model_must_be_given(custom, tmp_path):
    path = custom.save(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match=r"model 'mine' \(parameters beta, alpha\).*load\(path, model\)"):
        load(path)
    assert_same(load(path, custom.model), custom)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "yours"}, "name differs"),
        ({"parameters": (Parameter("beta", pyem.Positive()), RW.parameters[1])}, "parameters differ"),
        ({"parameters": RW.parameters[::-1]}, "parameters differ"),
        ({"options": 4}, "options differ"),
    ],
)
def test_another_model_is_refused(custom, tmp_path, change, said):
    path = custom.save(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match=f"holds a fit of model 'mine'.* was given: {said}"):
        load(path, dataclasses.replace(custom.model, **change))


def test_another_registered_model_is_refused(path):
    with pytest.raises(ValueError, match=r"model 'rw1a1b' .*but model=Model\('rw2a1b'.*name differs"):
        load(path, models.get("rw2a1b"))
    with pytest.raises(ValueError, match="name differs"):
        load(path, pyem.fix(RW, alpha=0.5))
    assert load(path, RW).model is RW


def test_a_changed_function_is_not_taken_for_the_registered_one(data, tmp_path):
    changed = dataclasses.replace(RW, policy=lambda p, q, trial: pyem.Categorical(-p.beta * q))
    path = pyem.fit_map(changed, data).save(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match="not a registered model"):
        load(path)
    assert load(path, changed).model is changed


def test_a_model_that_has_changed_since_is_refused(path, monkeypatch):
    renamed = dataclasses.replace(RW, parameters=(Parameter("temperature"), RW.parameters[1]))
    monkeypatch.setattr(models, "_FACTORIES", {**models._FACTORIES, "rw1a1b": lambda: renamed})
    with pytest.raises(ValueError, match="the model of that name in this version is another: parameters differ"):
        load(path)
    # A copy: undoing a deletion would put the model at the end of the registry.
    rest = {name: make for name, make in models._FACTORIES.items() if name != "rw1a1b"}
    monkeypatch.setattr(models, "_FACTORIES", rest)
    with pytest.raises(ValueError, match="this version cannot make again: there is no model 'rw1a1b'"):
        load(path)


# -- files that are not what they should be -----------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1, 100, 0.2, 0.5, 0.9, -1])
def test_a_file_cut_short_is_refused(path, keep):
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(ValueError, match="is not a netCDF file, or was cut short or damaged"):
        load(path)


def test_a_changed_byte_is_noticed(fit, path):
    whole = path.read_bytes()
    place = whole.find(fit.information.tobytes())
    assert place > 0
    path.write_bytes(whole[: place + 3] + bytes([whole[place + 3] ^ 1]) + whole[place + 4 :])
    with pytest.raises(ValueError, match="is damaged: its contents do not match their digest"):
        load(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file '.*none.nc'; check the path"):
        load(tmp_path / "none.nc")
    with pytest.raises(ValueError, match="is not a netCDF file"):
        load(tmp_path)
    (tmp_path / "table.nc").write_text("subject,choice\n1,0\n")
    with pytest.raises(ValueError, match="is not a netCDF file"):
        load(tmp_path / "table.nc")
    with h5py.File(tmp_path / "other.nc", "w") as file:
        file["x"] = np.arange(3)
    with pytest.raises(ValueError, match=r"is a netCDF file that save\(\) did not write"):
        load(tmp_path / "other.nc")


def test_a_newer_format_is_refused(path):
    with h5py.File(path, "a") as file:
        file.attrs["pyem_format"] = export.FORMAT + 1
        file.attrs["pyem_version"] = "9.9"
        del file["pyem"]  # whatever a newer format may look like
    with pytest.raises(ValueError, match=r"has format 3 \(pyem 9.9\), but this pyem .* up to format 2; update pyem"):
        load(path)


def test_an_unknown_kind_of_result_is_refused(path, monkeypatch):
    monkeypatch.delitem(archive.TYPES, "PointFit")
    with pytest.raises(ValueError, match=r"holds what this pyem .* does not know: unknown type 'PointFit'"):
        load(path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left on device"), MemoryError])
def test_an_interrupted_write_leaves_what_was_there(fit, path, monkeypatch, error):
    before = path.read_bytes()
    write, calls = netcdf._write_section, []

    def interrupted(group, section):
        calls.append(section)
        if len(calls) == 3:
            raise error
        write(group, section)

    monkeypatch.setattr(netcdf, "_write_section", interrupted)
    with pytest.raises(error if isinstance(error, type) else type(error)) as raised:
        fit.save(path)
    assert len(calls) == 3
    assert [one.name for one in path.parent.iterdir()] == ["fit.nc"]
    assert path.read_bytes() == before
    if isinstance(error, OSError):
        assert "fit.nc' could not be written: no space left on device; check the rights and the space" in str(
            raised.value
        )


def test_where_nothing_can_be_written_is_said(fit, tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder '.*nowhere' to write 'fit.nc' to; make it first"):
        fit.save(tmp_path / "nowhere" / "fit.nc")
    with pytest.raises(ValueError, match=r"is a folder; give the name of a file, such as fit\.nc"):
        fit.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_cannot_be_written_leaves_nothing(fit, tmp_path):
    with pytest.raises(ValueError, match=r"trace\.extra is a function, which cannot be written"):
        dataclasses.replace(fit, trace={"extra": lambda: 0}).save(tmp_path / "fit.nc")
    assert list(tmp_path.iterdir()) == []


# -- ArviZ --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inference_data(fit):
    return fit.to_arviz(draws=40, key=3)


def group_of(container, name):
    """A group of ArviZ's container as an xarray Dataset, whichever of the two it is."""
    found = container[name]
    return found if isinstance(found, xarray.Dataset) else found.to_dataset()


def names_of_groups(container):
    return set(container.children) if isinstance(container, xarray.DataTree) else set(container.groups())


def test_saved_fits_open_in_plain_arviz(fit, path):
    import arviz

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = arviz.from_netcdf(path)
    assert names_of_groups(opened) >= {"posterior", "observed_data", "constant_data", "pyem"}
    assert opened.attrs["model"] == "rw1a1b"
    expected = fit.to_arviz(draws=100, log_likelihood=False)
    xarray.testing.assert_identical(
        group_of(opened, "posterior").drop_attrs().load(),
        group_of(expected, "posterior").drop_attrs().astype(group_of(opened, "posterior").dtypes),
    )
    tree = xarray.open_datatree(path)
    assert tree["posterior"].sizes["subject"] == 10
    tree.close()
    assert np.isfinite(arviz.summary(opened, var_names=["alpha"])["mean"]).all()


def test_arviz_reads_what_it_writes(inference_data, tmp_path):
    import arviz

    inference_data.to_netcdf(str(tmp_path / "idata.nc"))
    opened = arviz.from_netcdf(str(tmp_path / "idata.nc"))
    for group in ("posterior", "log_likelihood", "observed_data", "constant_data"):
        assert opened[group].equals(inference_data[group]), group
    with warnings.catch_warnings():
        # So few draws do not tell the tails of all trials.
        warnings.simplefilter("ignore", UserWarning)
        found = arviz.loo(opened, pointwise=True)
    assert found.n_data_points == opened.observed_data.sizes["obs"]
    # The first choices of blocks have the same probability in every draw, and leaving them out changes nothing.
    values = opened.log_likelihood.choice.values[0]
    alike = np.ptp(values, axis=0) < 1e-11
    assert alike.sum() >= 20
    assert (found.pareto_k.values[alike] < 0.7).all()
    left_out = found.loo_i if arviz.__version__.startswith("0.") else found.elpd_i
    np.testing.assert_allclose(left_out.values[alike], np.log(0.5), atol=1e-9)


def test_what_is_the_same_at_every_draw_gets_a_ripple_that_means_nothing():
    values = np.column_stack([np.linspace(-1, 0, 30), np.full(30, -0.7), np.full(30, -np.inf)])
    found = sections.uneven(values)
    np.testing.assert_array_equal(found[:, [0, 2]], values[:, [0, 2]])
    assert len(np.unique(found[:, 1])) == 30
    np.testing.assert_allclose(found[:, 1], -0.7, rtol=0, atol=sections.RIPPLE)
    np.testing.assert_array_equal(sections.uneven(values[:1]), values[:1])


def test_contents_agree_with_the_fit(fit, data, inference_data):
    posterior, observed, constant = (inference_data[name] for name in ("posterior", "observed_data", "constant_data"))
    assert posterior.subject.values.tolist() == data.subjects.tolist()
    natural = fit.model.natural(posterior.x.values)
    np.testing.assert_array_equal(posterior.beta, natural[..., 0])
    np.testing.assert_array_equal(posterior.alpha, natural[..., 1])
    latents = fit.latents().dropna(subset="log_prob")
    assert constant.subject.values.tolist() == latents.subject.tolist()
    assert constant.block.values.tolist() == latents.block.tolist()
    np.testing.assert_array_equal(constant.trial, latents.trial)
    np.testing.assert_array_equal(observed.choice, latents.choice)
    np.testing.assert_array_equal(constant.reward, latents.reward)
    assert np.isnan(constant.reward).sum() > 0
    ages = dict(zip(data.subjects, data.covariates["age"], strict=True))
    np.testing.assert_array_equal(constant.age, [ages[name] for name in latents.subject])


def test_pointwise_log_likelihood_adds_up(fit, data, inference_data):
    pointwise_log_lik = inference_data.log_likelihood.choice
    assert pointwise_log_lik.dims == ("chain", "draw", "obs")
    assert pointwise_log_lik.sizes["obs"] == data.n_responses(RW).sum() < data.n_trials
    x = inference_data.posterior.x.values[0]
    expected = log_lik_draws(RW, data, x)
    owner = np.array([data.subjects.tolist().index(name) for name in inference_data.constant_data.subject.values])
    for s in range(data.n_subjects):
        np.testing.assert_allclose(pointwise_log_lik.values[0][:, owner == s].sum(1), expected[:, s], atol=1e-10)
    at_mode = dataclasses.replace(fit, cov=np.zeros_like(fit.cov)).to_arviz(draws=40)
    np.testing.assert_allclose(at_mode.log_likelihood.choice[0, 0], fit.latents().log_prob.dropna(), atol=1e-12)


def test_chunks_of_draws_do_not_matter(fit, data, inference_data, monkeypatch):
    monkeypatch.setattr(pointwise, "WORKING_SET", 15 * data.valid.size)
    again = fit.to_arviz(draws=40, key=3)
    np.testing.assert_allclose(again.log_likelihood.choice, inference_data.log_likelihood.choice, atol=1e-12)


def test_too_large_a_result_is_refused_in_words(fit, monkeypatch):
    monkeypatch.setattr(pointwise, "LARGEST", 2**20)
    with pytest.raises(
        ValueError, match=r"500 draws x \d+ observations takes .* GiB; pass a smaller draws= \(up to \d+\)"
    ):
        fit.to_arviz()
    # However few subjects are computed together.
    monkeypatch.setattr(pointwise, "IN_MEMORY", 500 * 40 * 2)
    with pytest.raises(ValueError, match=r"500 draws x \d+ observations takes"):
        fit.to_arviz()
    assert "log_likelihood" not in names_of_groups(fit.to_arviz(log_likelihood=False))


def test_draws_have_the_moments_of_the_laplace_approximation(fit):
    n = 4000
    x = fit.to_arviz(draws=n, key=0, log_likelihood=False).posterior.x.values[0]
    sd = np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2))
    assert (np.abs(x.mean(0) - fit.x) < 4.5 * sd / np.sqrt(n)).all()
    for s in range(len(fit.x)):
        white = np.linalg.solve(np.linalg.cholesky(fit.cov[s]), (x[:, s] - fit.x[s]).T)
        # Each entry of the covariance of standard normal draws has a standard error of at most sqrt(2 / n).
        assert np.abs(white @ white.T / n - np.eye(2)).max() < 4.5 * np.sqrt(2 / n)


def test_keys(fit):
    draw = lambda key: fit.to_arviz(draws=3, key=key, log_likelihood=False).posterior.x.values  # noqa: E731
    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).all()
    np.testing.assert_array_equal(draw(jax.random.key(5)), draw(jax.random.key(5)))
    with pytest.raises(TypeError, match="key must be a whole number or a JAX random key, but was 'x'"):
        draw("x")
    with pytest.raises(ValueError, match="draws=0; at least one is needed"):
        fit.to_arviz(draws=0)


def test_subjects_without_a_mode_have_no_draws(fit):
    status = fit.status.copy()
    status[2] = pyem.Status.FLAT
    with pytest.warns(FitWarning, match="1 of 10 subjects have no regular mode, so their draws are NaN: süb-02"):
        posterior = dataclasses.replace(fit, status=status).to_arviz(draws=5, log_likelihood=False).posterior
    missing = np.isnan(posterior.alpha.values[0]).all(0)
    assert missing.tolist() == [s == 2 for s in range(10)]
    assert np.isfinite(posterior.x.values[0][:, ~missing]).all()


def test_a_model_of_whole_sequences_has_their_log_likelihood(data):
    def together(p, trials):
        right = jax.nn.log_sigmoid(p.bias) * trials.choice + jax.nn.log_sigmoid(-p.bias) * (1 - trials.choice)
        return (right * trials.responded).sum()

    model = Model("sequence", (Parameter("bias"),), log_likelihood=together)
    fit = pyem.fit_map(model, data)
    values = fit.to_arviz(draws=4).log_likelihood.choice
    assert values.dims == ("chain", "draw", "sequence")
    assert values.sequence.values[:2].tolist() == ["süb-00/early", "süb-00/late"]
    x = fit.to_arviz(draws=4).posterior.x.values[0]
    np.testing.assert_allclose(values.values[0].reshape(4, 10, 2).sum(2), log_lik_draws(model, data, x), atol=1e-10)


def test_arviz_1_gets_a_tree(fit, inference_data, monkeypatch, tmp_path):
    version = sections.importlib.metadata.version
    monkeypatch.setattr(
        sections.importlib.metadata, "version", lambda name: "1.3.0" if name == "arviz" else version(name)
    )
    tree = fit.to_arviz(draws=40, key=3)
    assert isinstance(tree, xarray.DataTree)
    assert tree.attrs["method"] == "em"
    xarray.testing.assert_equal(tree["posterior"].to_dataset(), group_of(inference_data, "posterior"))
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    opened = xarray.open_datatree(tmp_path / "tree.nc")
    assert opened["log_likelihood"].equals(tree["log_likelihood"])
    opened.close()


def test_what_arviz_announces_stays_within(fit, monkeypatch, tmp_path):
    (tmp_path / "arviz.py").write_text(
        "import warnings\nwarnings.warn('all will change', FutureWarning)\n"
        "def InferenceData(attrs, **groups):\n    return groups\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "arviz", raising=False)
    monkeypatch.setattr(sections.importlib.metadata, "version", lambda name: "0.23.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(fit.to_arviz(draws=2, log_likelihood=False)) == {"posterior", "observed_data", "constant_data"}


def test_a_sampler_s_draws_are_exported_whole(fit, data, tmp_path):
    import arviz as az

    x = fit.x + np.random.default_rng(0).normal(size=(3, 5, *fit.x.shape)) * 0.1
    stats = {"diverging": np.zeros((3, 5), bool), "energy": np.arange(15.0).reshape(3, 5)}
    sampled = pyem.SampleFit("nuts", RW, data, None, {}, {"x": x}, stats, None, None, {}, {}, "")
    found = az.from_netcdf(sampled.save(tmp_path / "with.nc", log_likelihood=True))
    np.testing.assert_array_equal(found.posterior.x, x)
    np.testing.assert_array_equal(found.sample_stats.energy, stats["energy"])
    assert found.log_likelihood.choice.dims == ("chain", "draw", "obs")
    expected = log_lik_draws(RW, data, x[2])
    np.testing.assert_allclose(found.log_likelihood.choice[2].sum("obs"), expected.sum(1), atol=1e-9)
    assert_same(load(sampled.save(tmp_path / "fit.nc")), sampled)
