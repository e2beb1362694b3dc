"""A discrete POMDP agent in plain NumPy, one policy at a time: an oracle for agents of any structure."""

from __future__ import annotations

import itertools

import numpy as np

TINY = np.finfo(float).eps


def softmax(v):
    v = np.exp(v - v.max())
    return v / v.sum()


class Plain:
    """Exact or mean-field agent; arrays as of `DiscretePOMDP`, all given."""

    def __init__(self, A, B, C, D, E, A_deps, B_deps, policies, *, exact=True, gamma=1.0, alpha=1.0, sweeps=16):
        self.A, self.B, self.C, self.D, self.E = A, B, C, D, E
        self.A_deps, self.B_deps, self.policies = A_deps, B_deps, policies
        self.exact, self.gamma, self.alpha, self.sweeps = exact, gamma, alpha, sweeps
        self.sizes = [len(d) for d in D]
        self.actions = list(itertools.product(*(range(b.shape[-1]) for b in B)))
        self.states = list(itertools.product(*map(range, self.sizes)))
        self.utility, self.information = True, True
        self.pA = self.pB = None

    # -- beliefs: a dict from joint state to probability, or a list of marginals ------------------------------------------

    def start(self):
        if not self.exact:
            return [np.array(d, float) for d in self.D]
        return np.array([np.prod([d[s] for d, s in zip(self.D, state, strict=True)]) for state in self.states])

    def marginals(self, q):
        if not self.exact:
            return q
        out = [np.zeros(n) for n in self.sizes]
        for p, state in zip(q, self.states, strict=True):
            for f, s in enumerate(state):
                out[f][s] += p
        return out

    def observe(self, q, outcomes):
        seen = [(a, o, d) for a, o, d in zip(self.A, outcomes, self.A_deps, strict=True) if o is not None]
        if self.exact:
            like = [
                np.prod([max(a[(o, *(state[f] for f in deps))], TINY) for a, o, deps in seen]) for state in self.states
            ]
            q = q * np.array(like)
            return q / q.sum()
        prior = [np.log(np.maximum(p, TINY)) for p in q]
        if len(q) == 1:
            return [softmax(prior[0] + sum(np.log(np.maximum(a[o], TINY)) for a, o, _ in seen))]
        log_q = [np.zeros(n) for n in self.sizes]
        for _ in range(self.sweeps):
            now = [softmax(v) for v in log_q]
            log_q = [prior[f] + self.message(seen, now, f) for f in range(len(now))]
        return [softmax(v) for v in log_q]

    def message(self, seen, q, f):
        total = np.zeros(self.sizes[f])
        for a, o, deps in seen:
            if f not in deps:
                continue
            for index in itertools.product(*(range(self.sizes[k]) for k in deps)):
                weight = np.prod([q[k][s] for k, s in zip(deps, index, strict=True) if k != f])
                total[index[deps.index(f)]] += weight * np.log(max(a[(o, *index)], TINY))
        return total

    def move(self, q, action):
        controls = self.actions[action]
        if self.exact:
            out = np.zeros(len(self.states))
            for p, now in zip(q, self.states, strict=True):
                for k, after in enumerate(self.states):
                    chance = [
                        b[(after[f], *(now[d] for d in deps), u)]
                        for f, (b, deps, u) in enumerate(zip(self.B, self.B_deps, controls, strict=True))
                    ]
                    out[k] += p * np.prod(chance)
            return out
        return [
            self.average(np.moveaxis(b, -1, 0)[u], deps, q)
            for b, deps, u in zip(self.B, self.B_deps, controls, strict=True)
        ]

    def average(self, table, deps, q):
        """``table`` (k, states of deps) averaged over the belief."""
        out = np.zeros(len(table))
        if self.exact:
            for p, state in zip(q, self.states, strict=True):
                out += p * table[(slice(None), *(state[f] for f in deps))]
            return out
        for index in itertools.product(*(range(self.sizes[k]) for k in deps)):
            out += np.prod([q[k][s] for k, s in zip(deps, index, strict=True)]) * table[(slice(None), *index)]
        return out

    # -- policies -----------------------------------------------------------------------------------------------------------

    def score(self, q, policy):
        total = 0.0
        for step, action in enumerate(policy):
            before, q = q, self.move(q, action)
            for m, (a, c, deps) in enumerate(zip(self.A, self.C, self.A_deps, strict=True)):
                o = self.average(a, deps, q)
                if self.utility:
                    total += o @ (c[step] if c.ndim > 1 else c)
                if self.information:
                    ambiguity = -(a * np.log(np.maximum(a, TINY))).sum(0)
                    total += -(o * np.log(np.maximum(o, TINY))).sum() - self.average(ambiguity[None], deps, q)[0]
                if self.pA is not None and self.pA[m] is not None:
                    total += o @ self.average(weight(self.pA[m]), deps, q)
            if self.pB is not None:
                for f, deps in enumerate(self.B_deps):
                    if self.pB[f] is not None:
                        w = np.moveaxis(weight(self.pB[f]), -1, 0)[self.actions[action][f]]
                        last = self.marginals(before)
                        expected = w
                        for k in reversed(deps):
                            expected = expected @ last[k]
                        total += self.marginals(q)[f] @ expected
        return total

    def plan(self, q):
        """Scores of the policies, and log-probability of each action."""
        scores = np.array([self.score(q, policy) for policy in self.policies])
        weights = softmax(self.alpha * (self.gamma * scores + np.log(np.maximum(self.E, TINY))))
        first = np.array([policy[0] for policy in self.policies])
        return scores, np.log([weights[first == u].sum() for u in range(len(self.actions))])

    def log_lik(self, observations, actions):
        """``observations[t][m]`` and ``actions[t]``, None where missing; the log-probability of each action."""
        q, out = self.start(), []
        for seen, action in zip(observations, actions, strict=True):
            q = self.observe(q, seen)
            _, log_p = self.plan(q)
            out.append(0.0 if action is None else log_p[action])
            q = self.mixed(q, log_p, action)
        return out

    def mixed(self, q, log_p, action):
        if action is not None:
            return self.move(q, action)
        moved = [self.move(q, u) for u in range(len(self.actions))]
        if self.exact:
            return sum(np.exp(v) * after for v, after in zip(log_p, moved, strict=True))
        return [sum(np.exp(v) * m[f] for v, m in zip(log_p, moved, strict=True)) for f in range(len(q))]


def weight(counts):
    """Expected information about a Dirichlet distribution over the first axis."""
    from scipy.special import digamma

    n = counts.sum(0, keepdims=True)
    return np.log(n) - np.log(counts) + digamma(counts + 1) - digamma(n + 1)


def columns(rng, *shape):
    """Random probabilities over the first axis."""
    a = rng.gamma(0.8, size=shape) + 0.02
    return a / a.sum(0)


def random_pomdp(seed, *, timed=False):
    """Arrays and dependencies of an agent with two modalities, three factors and crossed dependencies."""
    rng = np.random.default_rng(seed)
    A_deps, B_deps = [[2, 0], [1]], [[0, 1], [1], [2]]
    A = [columns(rng, 3, 2, 3), columns(rng, 2, 2)]
    B = [columns(rng, 3, 3, 2, 2), columns(rng, 2, 2, 1), columns(rng, 2, 2, 2)]
    C = [rng.normal(size=(2, 3) if timed else 3), rng.normal(size=2)]
    D = [columns(rng, 3), columns(rng, 2), columns(rng, 2)]
    return {"A": A, "B": B, "C": C, "D": D}, A_deps, B_deps


def random_trials(seed, n, num_obs, n_actions, missing=0.0):
    """Observations and actions, some of them None."""
    rng = np.random.default_rng(seed)
    gone = lambda value: None if rng.random() < missing else int(value)  # noqa: E731
    observations = [[gone(rng.integers(k)) for k in num_obs] for _ in range(n)]
    return observations, [gone(rng.integers(n_actions)) for _ in range(n)]
