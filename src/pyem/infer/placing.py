"""Placing of the points over which people are integrated."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.partitioned import n_cells, placed_parts
from pyem.engine.common_points import CommonValues
from pyem.engine.nodes import Frame, NodeEStep, Nodes, log_lik_at, log_sum
from pyem.infer.lattices import MIXED, PLAIN, RULES, Lattices, Rule, points_at, rule_of
from pyem.model.model import Model
from pyem.numerics.lattice import normal_and_t, quasi_random, turned, unstretched
from pyem.numerics.student_t import log_t
from pyem.population.group import Group
from pyem.population.people_only import people_only
from pyem.population.population import Population
from pyem.population.posterior import Moments

MIXTURE = 1024
"""Number of points of a mixture, for people whom a lattice does not cover; half of it up to two parameters, twice from six
on."""
NEAR = 0.75
"""Share of a mixture around the person's posterior; the others are from the group."""
DF = 5.0
"""Degrees of freedom of both parts of a mixture."""
WIDER = 1.2
"""Variance of a mixture around a posterior, as a multiple of the posterior's variance."""
CHEAP = 20_000_000
"""Trials times points up to which evaluating everybody's likelihood costs less than compiling it for some people."""
RIM = 0.8
"""Width of the rim of a lattice, in posterior sds."""
SCOUTS = 128
"""Number of points of the group that show modes which a local approximation misses; half of it where data are large."""
LARGE = 1_000_000
"""Number of trials from which on data count as large."""


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Makes points for the people of one data set, moved and scaled to where posteriors are.

    Parameters
    ----------
    model, data
        The model, and its data.
    lattices
        Points before they are placed; None for mixtures only.
    n_mixed
        Points of a mixture.
    seed, shift
        Of the points of the unit cube that mixtures are made of, and by how much they are moved for each person, (S, P + 1).
    common
        How likelihoods change with parameters that are common to all; None where nothing is. Points are then of those in
        which people differ, and P is their number.
    """

    model: Model
    data: Dataset
    lattices: Lattices | None
    n_mixed: int
    seed: int
    shift: np.ndarray
    common: CommonValues | None = None

    @property
    def typical(self) -> np.ndarray:
        """Typical sds of the parameters over which people are integrated, (P,)."""
        sd = self.model.typical[1]
        return sd if self.common is None else sd[self.common.random]

    @property
    def rule(self) -> Rule | None:
        """Rule of the plain lattice; None if there are only mixtures."""
        return None if self.lattices is None else self.lattices.rule

    def nodes(
        self, mean: np.ndarray, cov: np.ndarray, population: Population, level: np.ndarray, turn: int = 0
    ) -> list[Nodes]:
        """Points around posterior means (S, P) and covariances (S, P, P) for everybody's level of care (S,).

        Lattices of another `turn` are turned and shifted otherwise, so that two of them tell how exact they are. People with a
        negative level get none.
        """
        parts = []
        for care in np.unique(level[level >= PLAIN]):
            some = np.flatnonzero(level == care)
            if self.lattices is None or care == MIXED:
                parts.append(self._mixture(some, mean[some], cov[some], population, int(care)))
            else:
                parts.append(self._lattice(some, mean[some], cov[some], population, int(care), turn))
        return parts

    def _mixture(self, who: np.ndarray, mean: np.ndarray, cov: np.ndarray, population: Population, care: int) -> Nodes:
        own = people_only(population)
        x, log_q = mixture(self.cube(who, care), mean, cov, own.mean[who], own.cov, own.group)
        return self._weighted(who, x, -log_q - math.log(x.shape[1]), None, cov, population)

    def _weighted(
        self,
        who: np.ndarray,
        x: np.ndarray,
        log_volume: np.ndarray,
        frame: Frame | None,
        cov: np.ndarray,
        population: Population,
    ) -> Nodes:
        """Points (n, K, P) of the people `who`, weighted by the likelihood and the volume that each stands for."""
        if self.common is None:
            return Nodes(who, x, log_volume + self.log_lik(who, x), frame)
        value, surface = self.common.on(self.log_lik, who, x, cov, population.mean[:, ~population.random])
        return Nodes(who, x, log_volume + value, frame, surface)

    def cube(self, who: np.ndarray, care: int = MIXED) -> np.ndarray:
        """Points (n, K, P + 1) of the unit cube, from which a mixture is made."""
        return turned(quasi_random(points_at(care) * self.n_mixed, self.shift.shape[1], self.seed), self.shift[who])

    def _lattice(
        self, who: np.ndarray, mean: np.ndarray, cov: np.ndarray, population: Population, care: int, turn: int
    ) -> Nodes:
        assert self.lattices is not None
        z, log_volume = self.lattices.of(who, care, turn)
        root = np.linalg.cholesky(cov)
        x = mean[:, None] + z @ np.swapaxes(root, 1, 2)
        log_scale = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)[:, None]
        rule = self.lattices.rule_at(care)
        frame = Frame(mean, root, rule.radius, rule.stretch, self.lattices.cell(care))
        return self._weighted(who, x, log_volume + log_scale, frame, cov, population)

    def log_lik(self, who: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Log-likelihood (n, K) of the people `who` (n,) at points (n, K, P) of theirs."""
        if len(who) == self.data.n_subjects:
            return log_lik_at(self.model, self.data, x)
        out = np.empty(x.shape[:2])
        for place, part in placed_parts(self.data):
            here = (who >= place.start) & (who < place.stop)
            if here.any():
                out[here] = self._of_part(part, who[here] - place.start, x[here])
        return out

    def _of_part(self, data: Dataset, who: np.ndarray, x: np.ndarray) -> np.ndarray:
        n = data.n_subjects
        if data.valid.size * x.shape[1] <= CHEAP:
            every = np.repeat(x.mean((0, 1))[None, None], n, 0).repeat(x.shape[1], 1)
            every[who] = x
            return log_lik_at(self.model, data, every)[who]
        return log_lik_at(self.model, data.select(who), x)

    def rim(self, parts: list[Nodes], weights: list[np.ndarray]) -> np.ndarray:
        """(S,): share of the posterior near the rim of each person's lattice; 0 for mixtures."""
        out = np.zeros(self.data.n_subjects)
        for part, weight in zip(parts, weights, strict=True):
            frame = part.frame
            if frame is not None:
                far = unstretched(frame.inside(part.x), frame.stretch) > frame.radius - RIM
                out[part.people] = (weight * far).sum(1)
        return out

    @property
    def cell(self) -> float:
        """Variance of a place within the cell of a point of the plain lattice, along each axis; 0 without a lattice."""
        return 0.0 if self.lattices is None else self.lattices.cell(PLAIN)

    def scattered(self, part: Nodes, index: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws (n, D, P) from the cells of points (n, D), and the variance (n, P) that this adds to that of the points.

        Points of a mixture are draws themselves, and stay where they are.
        """
        x = part.x[np.arange(len(part.people))[:, None], index]
        frame = part.frame
        if frame is None:
            return x, np.zeros((len(x), x.shape[2]))
        z, stretch = frame.inside(x), frame.stretch
        inside = np.arcsinh(stretch * z) / stretch + math.sqrt(frame.cell) * rng.normal(size=z.shape)
        step = np.sinh(stretch * inside) / stretch - z
        return x + step @ np.swapaxes(frame.root, 1, 2), frame.cell * np.square(frame.root).sum(2)

    def serve(self, shares: np.ndarray, shift: np.ndarray, roughly: bool) -> np.ndarray:
        """(D,): whether points serve posteriors other than the one that they were made for.

        Parameters
        ----------
        shares
            Variances of these along their axes, as shares of the variance that points were made for, ascending, (D, P).
        shift
            Distance of their means from the points' centre, in sds that points were made for, (D,).
        roughly
            Whether the integral of a Gaussian may be off by 2 % where they just serve; otherwise by 0.2 %.

        Notes
        -----
        For narrow posteriors points are too far apart, and more so where they are stretched; wide ones reach beyond them.
        """
        if self.rule is None:
            return (shares[:, 0] > 0.4) & (shares[:, -1] < 2.5) & (shift < 2.0)
        apart, sds = (3.3, 3.6) if roughly else (4.4, 4.6)
        least = min(max(apart * self.cell, 0.2), 0.5)
        near = shares[:, 0] > least * (1 + (self.rule.stretch * shift) ** 2)
        return near & (shift + sds * np.sqrt(shares[:, -1]) < self.reach)

    @property
    def at_rim(self) -> float:
        """Largest share of a posterior near the rim that is accepted: three times that of a Gaussian one, or 3 %."""
        from scipy.special import gammaincc

        p = self.shift.shape[1] - 1
        return 1.0 if self.rule is None else max(0.03, 3 * float(gammaincc(p / 2, (self.rule.radius - RIM) ** 2 / 2)))

    @property
    def reach(self) -> float:
        """Reach of the lattice, in posterior sds."""
        if self.rule is None:
            return 5.0
        return math.sinh(self.rule.stretch * self.rule.radius) / self.rule.stretch


def places(
    model: Model, data: Dataset, *, nodes: int | None, rng: np.random.Generator, dim: int | None = None
) -> Places:
    """Make points for `data`, with `nodes` for each person or as many as suit the number of parameters (or `dim`)."""
    p, s = model.n_params if dim is None else dim, data.n_subjects
    mixed = MIXTURE // 2 if p <= 2 else MIXTURE if p <= max(RULES) else 2 * MIXTURE
    if nodes is not None:
        mixed = max(mixed, nodes)
    rule = rule_of(p, nodes)
    seeds = [int(seed) for seed in rng.integers(2**31, size=2)]
    lattices = None if rule is None else Lattices(p, rule, s, seeds[0])
    return Places(model, data, lattices, mixed, seeds[1], rng.uniform(size=(s, p + 1)))


def mixture(
    u: np.ndarray,
    mean: np.ndarray,
    cov: np.ndarray,
    group_mean: np.ndarray,
    group_cov: np.ndarray,
    group: Group,
    near: float = NEAR,
) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, K, P) of mixtures of two Student-t distributions, and their log-density (n, K), by the balance heuristic.

    Parameters
    ----------
    u
        Points of the unit cube, (n, K, P + 1).
    mean, cov
        Mean and covariance of each person's posterior, (n, P) and (n, P, P).
    group_mean, group_cov, group
        Mean (n, P) and covariance (P, P) of the group that each person is from, and its family.
    near
        Share of the points around the person's posterior.

    References
    ----------
    Owen, A., & Zhou, Y. (2000). Safe and effective importance sampling. Journal of the American Statistical Association,
    95(449), 135-143. https://doi.org/10.1080/01621459.2000.10473909
    """
    k, p = u.shape[1], mean.shape[1]
    own, wide = np.linalg.cholesky(WIDER * cov), np.linalg.cholesky(group_cov)
    df = 1.0 if group.family == "cauchy" else DF
    # Stretches of a quasi-random sequence fill the cube evenly; every fourth point of it does not.
    is_near = np.arange(k) < round(near * k)
    x = np.empty((*u.shape[:2], p))
    x[:, is_near] = mean[:, None] + normal_and_t(u[:, is_near], DF)[1] @ np.swapaxes(own, 1, 2)
    x[:, ~is_near] = group_mean[:, None] + normal_and_t(u[:, ~is_near], df)[1] @ wide.T
    share = is_near.mean()
    log_near = _log_student(x - mean[:, None], own, DF) + math.log(share)
    return x, np.logaddexp(log_near, _log_student(x - group_mean[:, None], wide[None], df) + math.log1p(-share))


def _log_student(gap: np.ndarray, chol: np.ndarray, df: float) -> np.ndarray:
    """Log-density (n, K) of Student-t distributions with scale factors (n or 1, P, P), `gap` (n, K, P) from their centres."""
    z = gap @ np.swapaxes(np.linalg.inv(chol), 1, 2)
    log_scale = np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(1)
    return log_t((z**2).sum(-1), df, gap.shape[2]) - log_scale[:, None]


class Scouts:
    """Points from a group and from one twice as wide, and everybody's likelihood there."""

    def __init__(self, places: Places, population: Population, seed: int, n: int = SCOUTS) -> None:
        model, data = places.model, places.data
        n = n // 2 if n_cells(data) > LARGE else n
        p = model.n_params
        z, _ = normal_and_t(quasi_random(n, p + 1, seed), DF)
        width = np.where(np.arange(n) < n // 2, 1.0, 2.0)[:, None]
        chol = np.linalg.cholesky(population.cov)
        x = population.mean[:, None] + (width * z) @ chol.T
        squared = ((width * z) ** 2).sum(1)
        parts = [-0.5 * squared / a**2 - p * math.log(a) for a in (1.0, 2.0)]
        constant = 0.5 * p * math.log(2 * math.pi) + np.log(np.diag(chol)).sum() + math.log(2)
        log_q = np.logaddexp(*parts) - constant + math.log(n)
        self.nodes = Nodes(np.arange(data.n_subjects), x, log_lik_at(model, data, x) - log_q)

    def around(self, population: Population) -> tuple[np.ndarray, np.ndarray]:
        """Roughly everybody's posterior mean (S, P) and covariance (S, P, P), no narrower than scouts are apart."""
        estep = NodeEStep([self.nodes], population.group)
        found, n = estep.posterior(population.prior), self.nodes.x.shape[1]
        few = 2 / np.maximum(estep.effective(population.prior), 1.0)
        spacing = population.cov * n ** (-2 / len(population.cov))
        known = found.usable
        cov = np.where(known[:, None, None], found.cov * (1 + few)[:, None, None] + spacing, population.cov)
        return np.where(known[:, None], found.mode, population.mean), cov

    def unreached(
        self, population: Population, mean: np.ndarray, cov: np.ndarray, log_evidence: np.ndarray, reach: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Share (S,) of each person's evidence farther than `reach` sds from their mean, and their best scout (S, P)."""
        joint = self.nodes.joint(population.group, population.prior)
        white = np.linalg.inv(np.linalg.cholesky(cov))
        distance = (((self.nodes.x - mean[:, None]) @ np.swapaxes(white, 1, 2)) ** 2).sum(2)
        outside = log_sum(np.where(distance > reach**2, joint, -np.inf))
        with np.errstate(invalid="ignore"):
            share = np.exp(outside - np.logaddexp(outside, log_evidence))
        best = self.nodes.x[np.arange(len(mean)), joint.argmax(1)]
        return np.where(np.isfinite(share), share, 0.0), best


def regular(moments: Moments, cov: np.ndarray) -> np.ndarray:
    """Covariances (S, P, P) around which points can be placed: `cov` (P, P) for people who have no regular one."""
    least = 1e-10 * np.diag(cov).min()
    good = np.asarray(moments.usable & (np.linalg.eigvalsh(_finite(moments.cov)).min(1) > least))
    return np.where(good[:, None, None], _finite(moments.cov), cov)


def _finite(cov: np.ndarray) -> np.ndarray:
    good = np.asarray(np.isfinite(cov).all(axis=(1, 2)))
    return np.where(good[:, None, None], cov, np.eye(cov.shape[1]))
