"""Power: the probability to find an effect, or the right model, with so many people and trials."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.engine.layout import coarsely
from pyem.errors import ModelError, counted, require_method, require_number, require_whole, told_briefly
from pyem.infer.hbi import fit_hbi
from pyem.infer.rounds import Running, in_words, run_rounds
from pyem.model.model import Model
from pyem.numerics.rng import plain_key
from pyem.selection import Settings
from pyem.study.design_effects import DesignEffects, DesignRound
from pyem.study.effect import Effect, EffectRound, fit_effects
from pyem.study.experiment import Experiment, Fitter, at_least_one, fit_quickly, report
from pyem.study.model_recovery import ConfusionRound, asked, named_models, winners

if TYPE_CHECKING:
    import pandas as pd

SHARED = 512
"""Largest numbers of people and trials for which designs share compiled code with others of up to twice the size."""
What = Effect | DesignEffects | Sequence[Effect | DesignEffects] | Sequence[Model] | Mapping[str, Model]


@dataclasses.dataclass(frozen=True, eq=False)
class Power:
    """Share of rounds in which effects, or the right models, were found, by number of people and trials.

    Parameters
    ----------
    rounds
        For each design and each effect or model, (people, trials, name), what the rounds found, (R,): ``found``, and for
        effects ``p``, ``estimate`` and ``width`` of the 95 % interval, in standard deviations of people, and ``covers``,
        whether the interval has the truth.
    size
        The size of each effect by its name; empty for models.
    what
        Description of the study, in words.
    """

    rounds: Mapping[tuple[int, int, str], Mapping[str, np.ndarray]]
    size: Mapping[str, float]
    what: str

    def table(self) -> pd.DataFrame:
        """A row for each design and effect or model: ``power`` with its Monte-Carlo error ``se``.

        ``low`` and ``high`` are its 95 % interval (Clopper-Pearson). For models, power is how often the model that made the
        data is the best.
        """
        return self._frame(_share)

    def precision(self) -> pd.DataFrame:
        """A row for each design and effect: mean width of the 95 % interval with its Monte-Carlo error, bias and coverage.

        In standard deviations of people.

        Raises
        ------
        ValueError
            If the study is of models.
        """
        if not self.size:
            raise ValueError("a study of models has no intervals; give effects: pyem.power(pyem.Effect(...), ...)")
        return self._frame(lambda found, name: _precision(found, self.size[name]))

    def _frame(self, row: Callable[[Mapping[str, np.ndarray], str], Mapping[str, float]]) -> pd.DataFrame:
        import pandas as pd

        label = "effect" if self.size else "model"
        index = pd.MultiIndex.from_tuples(list(self.rounds), names=["people", "trials", label])
        return pd.DataFrame([row(found, where[2]) for where, found in self.rounds.items()], index=index)

    def __repr__(self) -> str:
        return f"Power to find {self.what}\n{self.table().to_string(float_format='{:.3g}'.format)}"


def _share(found: Mapping[str, np.ndarray], name: str) -> dict[str, float]:
    from scipy.stats import beta

    del name
    hits, n = int(found["found"].sum()), len(found["found"])
    share = hits / n
    low = float(beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    return {
        "rounds": n,
        "found": hits,
        "power": share,
        "se": (share * (1 - share) / n) ** 0.5,
        "low": low,
        "high": high,
    }


def _precision(found: Mapping[str, np.ndarray], size: float) -> dict[str, float]:
    width, gap = (found[name][np.isfinite(found[name])] for name in ("width", "estimate"))
    error = lambda values: float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.nan  # noqa: E731
    return {
        "rounds": len(found["width"]),
        "width": float(width.mean()),
        "width_se": error(width),
        "bias": float(gap.mean() - size),
        "bias_se": error(gap),
        "coverage": float(found["covers"].mean()),
    }


def power(
    what: What,
    design: Experiment | None = None,
    *,
    key: Any,
    n: Sequence[int] | int = (20, 40, 80),
    trials: Sequence[int] | int = (100,),
    rounds: int = 100,
    alpha: float = 0.05,
    fit: Fitter | None = None,
    by: str | None = None,
    draws: int = 500,
    together: Callable[..., Any] = fit_hbi,
    pool: Any = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Power:
    """The probability to find an effect of a given size, or the right model, over numbers of people and of trials.

    Parameters
    ----------
    what
        A `pyem.Effect`, the `pyem.DesignEffects` of a design by formula, or several of them; or two models or more.
    design
        Blocks, task, missed responses. Its numbers of people and trials are those of `n` and `trials`.
    key
        Seed or JAX random key.
    n, trials
        Numbers of people, and of trials of a block: every combination is simulated.
    rounds
        Simulated groups for each combination and each effect, or for each model that makes the data.
    alpha
        An effect is found if its p is below.
    fit
        ``fit(model, data)``; `fit_em` if not given. For effects it takes a ``group=`` with a covariate, and tests it.
    by, draws, together
        Criterion, or ``"hbi"``, for models; see `confusion`.
    pool, folder, progress
        Processes that run the rounds, folder for finished rounds, and whether progress is shown; see `recovery`.

    Raises
    ------
    ValueError
        If effects and models are mixed, or numbers cannot be.

    Warns
    -----
    FitWarning
        Once, if fits did not converge or people had no regular mode.

    Examples
    --------
    >>> import pyem
    >>> level = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)
    >>> study = pyem.power(pyem.Effect(level, "b0", 3.0), key=1, n=[10], trials=[12], rounds=3)
    >>> study.table().loc[(10, 12, "b0, d = 3"), "found"].item()
    3
    """
    if fit is not None:
        require_method(fit)
    require_number(alpha=(alpha, 0), draws=(draws, 0))
    experiment = _design(design)
    people, lengths = (_numbers(values, word) for values, word in ((n, "n"), (trials, "trials")))
    effects = _effects(what)
    cells = [(s, dataclasses.replace(experiment, subjects=s, trials=t)) for s in people for t in lengths]
    running, key, count = Running(pool, folder, progress), plain_key(key), range(at_least_one(rounds))
    if effects:
        jobs = [_round(effect, plan, s, key, fit or fit_effects) for s, plan in cells for effect in effects]
        results = {}
        for job, found in zip(jobs, _run(jobs, [(k,) for k in count], running), strict=True):
            for place, name in enumerate(job.effect.names):
                results[job.subjects, job.experiment.trials or 0, name] = _effect_columns(found, alpha, place)
        sizes = {name: size for one in effects for name, size in zip(one.names, one.in_sds, strict=True)}
        return Power(results, sizes, ", ".join(sizes))
    models = named_models(what)  # type: ignore[arg-type]
    settings, asked_for = Settings(draws, 0, "trial"), asked(by)
    plans = [
        ConfusionRound(models, {}, plan, s, key, fit or fit_quickly, asked_for, settings, together) for s, plan in cells
    ]
    places = [(m, k) for m in range(len(models)) for k in count]
    out = {}
    for job, one in zip(plans, _run(plans, places, running), strict=True):
        best = np.array([winners(each) for each in one]).reshape(len(models), rounds)
        for m, name in enumerate(models):
            out[job.subjects, job.experiment.trials or 0, name] = {"found": best[m] == m}
    return Power(out, {}, f"the right model of {', '.join(models)}")


def _run(jobs: Sequence[Any], places: Sequence[tuple[int, ...]], running: Running) -> list[list[dict[str, np.ndarray]]]:
    """Run all rounds of all jobs; those of one design, which share compiled code, come one after the other."""
    names = {
        f"design-{j:03d}-{'-'.join(f'{k:05d}' for k in place)}": (j, *place)
        for j in range(len(jobs))
        for place in places
    }
    found = run_rounds("power", Jobs(tuple(jobs)), names, running, in_words({"designs": [vars(job) for job in jobs]}))
    report("power", [one["counts"] for one in found])
    return [found[j * len(places) : (j + 1) * len(places)] for j in range(len(jobs))]


@dataclasses.dataclass(frozen=True)
class Jobs:
    """Rounds of several designs as one study."""

    jobs: tuple[Callable[..., dict[str, np.ndarray]], ...]

    def __call__(self, j: int, *place: int) -> dict[str, np.ndarray]:
        """Do a round of design number `j`; designs of similar size share compiled code."""
        with coarsely(SHARED if len(self.jobs) > 1 else 0):
            return self.jobs[j](*place)


def _round(
    effect: Effect | DesignEffects, plan: Experiment, subjects: int, key: Any, fit: Callable[..., Any]
) -> EffectRound | DesignRound:
    if isinstance(effect, DesignEffects):
        return DesignRound(effect, plan, subjects, key, fit)
    return EffectRound(effect, plan, subjects, key, fit)


def _effect_columns(found: Sequence[Mapping[str, np.ndarray]], alpha: float, place: int) -> dict[str, np.ndarray]:
    columns = {
        name: np.array([float(one[name].flat[place]) for one in found]) for name in ("p", "estimate", "width", "covers")
    }
    # An effect without a p value, where people do not differ as far as the data say, counts as not found.
    return {"found": np.nan_to_num(columns["p"], nan=1.0) < alpha} | columns


def _design(design: Experiment | None) -> Experiment:
    if design is None:
        return Experiment()
    if not isinstance(design, Experiment) or design.data is not None or design.conditions is not None:
        raise ValueError(
            "power simulates designs of different sizes; give design=pyem.Experiment(blocks=..., task=...) without data and "
            "conditions, or use recovery and confusion with design=data"
        )
    if (design.subjects, design.trials) != (None, None):
        raise ValueError("give the numbers of people and trials as n=[...] and trials=[...], and not in the design")
    return design


def _numbers(values: Sequence[int] | int, word: str) -> list[int]:
    numbers = [values] if isinstance(values, int | np.integer) else list(values)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"{word}={values!r}; at least one number is expected, and each once")
    for one in numbers:
        require_whole(**{word: (one, 2 if word == "n" else 1)})
    return [int(one) for one in numbers]


def _effects(what: What) -> list[Effect | DesignEffects]:
    """Effects that are asked for; empty if these are models."""
    if not isinstance(what, Effect | DesignEffects | Mapping | list | tuple):
        raise ModelError(
            "effects or models are expected, such as pyem.Effect(...) or [pyem.models.get('rw1a1b'), pyem.models.get('bias')], "
            f"but {told_briefly(what)} was given"
        )
    every = (
        [what]
        if isinstance(what, Effect | DesignEffects)
        else list(what.values() if isinstance(what, Mapping) else what)
    )
    effects = [one for one in every if isinstance(one, Effect | DesignEffects)]
    if effects and len(effects) < len(every):
        raise ValueError("effects and models are asked for at once; make a study of each")
    names = [name for one in effects for name in one.names]
    if len(set(names)) < len(names):
        raise ValueError(f"several effects are called {', '.join(names)}; give them names: pyem.Effect(..., name=...)")
    if not every:
        raise ValueError(f"what={what!r}; {counted(1, 'effect')} or two models are expected at least")
    return effects
