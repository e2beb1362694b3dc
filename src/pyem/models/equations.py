"""Equations of every registered model: one line for each step, in plain text, with the names of the parameters.

Q is a value, r a reward, c the option that was chosen, d a prediction error, K the number of options; <- is what a trial does.
softmax(x) is exp(x) divided by its sum, sigma the logistic function, Phi the normal distribution. Where a model takes the
range of rewards from the data, beta is an inverse temperature where rewards are 0 and 1.
"""

from __future__ import annotations

_SOFTMAX = "p(choice) = softmax(beta Q)"
_D = "d = r - Q[c]"
_TAU = "p(choice 1) = sigma(tau (U1 - U0))"


def _offers(*lines: str) -> tuple[str, ...]:
    return (*lines, _TAU)


def _delay(factor: str) -> tuple[str, ...]:
    return _offers("U0 = amount_sooner D(delay_sooner), U1 = amount_later D(delay_later)", f"D(t) = {factor}")


_KALMAN = (
    "gain = S[c] / (S[c] + sigma_o^2), sigma_o = .04 of the range of payoffs",
    "m[c] <- m[c] + gain (r - m[c]), S[c] <- (1 - gain) S[c]",
    "then of all options: m <- theta + lambda_ (m - theta), S <- lambda_^2 S + sigma_d^2",
)
_ARMS = (
    "of each of two arms, a mean m and a variance S by a Kalman filter: gain = S[c] / (S[c] + noise^2)",
    "m[c] <- m[c] + gain (r - m[c]), S[c] <- (1 - gain) S[c]",
    "V = m[0] - m[1], RU = sd[0] - sd[1], TU = root(S[0] + S[1])",
)
_VOLATILE = (
    "gain = (w + v) / (w + v + {noise}), with w and v the variance and the volatility of the chosen option",
    "{step}",
    "v <- v + lambda_ ((m_new - m)^2 + w + w_new - 2 (1 - gain) w - v), where w_new = (1 - gain) (w + v)",
    "v is v0 before the first trial, w is {noise}",
)
_PVL = ("x = (gain - |loss|) / 100", "u = x^alpha of x above 0, else -loss_aversion |x|^alpha", "theta = 3^cons - 1")
_TWO_STAGES = (
    "d1 = Q2[state2, choice2] - Q1[choice1], d2 = reward - Q2[state2, choice2]",
    "Q1[choice1] <- Q1[choice1] + alpha1 (d1 + lambda_ d2)",
    "Q2[state2, choice2] <- Q2[state2, choice2] + alpha2 d2",
)
_MB = "MB[a] = P(state 0 | a) max Q2[0] + P(state 1 | a) max Q2[1], P of the common one .7"
_CHOICE2 = "p(choice2) = softmax(beta2 Q2[state2])"


def _go(weight: str, felt: str = "rho outcome") -> tuple[str, ...]:
    learned = "Q[cue, choice] <- Q[cue, choice] + epsilon (x - Q[cue, choice])"
    cue = ("V[cue] <- V[cue] + epsilon (x - V[cue])",) if "pi" in weight else ()
    chance = "p(go) = (1 - xi) sigma(W[go] - W[no-go]) + xi / 2"
    return (f"x = {felt}", learned, *cue, f"W[go] = {weight}, W[no-go] = Q[cue, no-go]", chance)


def _separate(decay: bool, lapse: bool) -> tuple[str, ...]:
    other = ("of the options not chosen: both values <- (1 - decay) times what they were",) if decay else ()
    chance = "p(choice) = (1 - lapse) softmax(W - L) + lapse / K" if lapse else "p(choice) = softmax(W - L)"
    return (
        "W[c] <- W[c] + alpha_rew (rho_rew gain - W[c])",
        "L[c] <- L[c] + alpha_pun (rho_pun |loss| - L[c])",
        *other,
        chance,
    )


_REGRESSION = "eta = b0 x0 + b1 x1 + b2 x2"
_LINGER = "eta = sum over j = 0, 1, 2 of gamma^j (b0 x0 + b1 x1 + b2 x2), with the predictors of j trials ago"
_PSYCHOMETRIC = "p(choice 1) = guess + (1 - guess - lapse) F(intensity)"
_ULTIMATUM = "p(accept) = sigma(tau U)"
_DIFFUSION = (
    "evidence starts at z a and drifts with v, with a unit of noise, until it reaches a (choice 1) or 0 (choice 0)"
)
_RACE = "the first at A + B is the choice, rt = t + the time it took"
_RT = "rt = t + the time that this takes (Wiener first-passage density)"
_HGF_RESPONSE = "p(choice 1) = m^zeta / (m^zeta + (1 - m)^zeta), m = {m}"
_FICTIVE = "Q[c] <- Q[c] + alpha (r - Q[c])"

EQUATIONS: dict[str, tuple[str, ...]] = {
    "rw1a1b": (_D, "Q[c] <- Q[c] + alpha d", _SOFTMAX),
    "rw2a1b": (_D, "Q[c] <- Q[c] + alpha_pos d if d >= 0, else Q[c] + alpha_neg d", _SOFTMAX),
    "rw3a1b": (
        "Q[c] <- Q[c] + alpha_self (r_self - Q[c]) + alpha_other (r_other - Q[c]) + alpha_noone (r_noone - Q[c])",
        _SOFTMAX,
    ),
    "rw4a1b": (
        "d_self = outcome_self - Q[c], d_other = outcome_other - Q[c], of the option c that was taken",
        "Q[c] <- Q[c] + a_self d_self + a_other d_other",
        "a_self = alpha_self_pos if d_self >= 0, else alpha_self_neg; a_other = alpha_other_pos or alpha_other_neg likewise",
        "p(choice) = softmax(beta (Q[option_left], Q[option_right]))",
    ),
    "bias": ("p(choice 0) = bias",),
    "wsls": (
        "p(choice) = 1 - epsilon + epsilon / K of the option that won last, epsilon / K of the others",
        "after a loss, 1 - epsilon is shared by the options that were not chosen",
    ),
    "ck": ("C <- C + alpha_c (1[option = c] - C)", "p(choice) = softmax(beta_c C)"),
    "rwck": (
        _D,
        "Q[c] <- Q[c] + alpha d, C <- C + alpha_c (1[option = c] - C)",
        "p(choice) = softmax(beta Q + beta_c C)",
    ),
    "rw_forget": (
        _D,
        "Q[c] <- Q[c] + alpha d; of the others Q <- Q + forget (Q0 - Q), where Q0 is where values start",
        _SOFTMAX,
    ),
    "fictive": (_FICTIVE, "Q[other] <- Q[other] + alpha_unchosen (outcome_unchosen - Q[other])", _SOFTMAX),
    "fictive_mirrored": (
        _FICTIVE,
        "Q[other] <- Q[other] + alpha_unchosen (r' - Q[other]), r' = lowest + highest reward - r",
        _SOFTMAX,
    ),
    "confirmation_bias": (
        "d = r - Q[c], d' = outcome_unchosen - Q[other]",
        "Q[c] <- Q[c] + (alpha_conf if d >= 0, else alpha_disc) d",
        "Q[other] <- Q[other] + (alpha_disc if d' >= 0, else alpha_conf) d'",
        _SOFTMAX,
    ),
    "pearce_hall": (_D, "Q[c] <- Q[c] + kappa A[c] d", "A[c] <- A[c] + eta (|d| - A[c]), A = 1 at first", _SOFTMAX),
    "pearce_hall_hybrid": (
        _D,
        "Q[c] <- Q[c] + kappa (1 - weight + weight A[c]) d",
        "A[c] <- A[c] + eta (|d| - A[c]), A = 1 at first",
        _SOFTMAX,
    ),
    "ewa": (
        "n' = rho n[c] + 1",
        "Q[c] <- (phi n[c] Q[c] + r) / n', n[c] <- n', n = 1 and Q = 0 at first",
        _SOFTMAX,
    ),
    "reward_punishment": _separate(False, False),
    "reward_punishment_lapse": _separate(False, True),
    "reward_punishment_decay_lapse": _separate(True, True),
    "probabilistic_selection": (
        "d = r - Q[s], s the stimulus that was taken",
        "Q[s] <- Q[s] + alpha_gain d if d >= 0, else Q[s] + alpha_loss d",
        "p(choice) = softmax(beta (Q[option_left], Q[option_right]))",
    ),
    "kalman": (*_KALMAN, "p(choice) = softmax(beta m)"),
    "kalman_bonus": (*_KALMAN, "p(choice) = softmax(beta (m + phi root(S)))"),
    "ucb": (*_ARMS, "p(choice 0) = Phi(w1 V + w2 RU)"),
    "thompson": (*_ARMS, "p(choice 0) = Phi(w V / TU)"),
    "hybrid": (*_ARMS, "p(choice 0) = Phi(w1 V + w2 RU + w3 V / TU)"),
    "volatile_kalman": (
        *(line.format(noise="omega", step="m <- m + root(w + v) (r - sigma(m))") for line in _VOLATILE),
        "p(choice) = softmax(beta sigma(m))",
    ),
    "volatile_kalman_continuous": (
        *(line.format(noise="sigma^2", step="m <- m + gain (r - m)") for line in _VOLATILE),
        "p(choice) = softmax(beta m)",
    ),
    "pvl_delta": (*_PVL, "E[c] <- E[c] + A (u - E[c])", "p(choice) = softmax(theta E)"),
    "pvl_decay": (*_PVL, "E <- A E of all decks, then E[c] <- E[c] + u", "p(choice) = softmax(theta E)"),
    "vpp": (
        *_PVL,
        "E[c] <- E[c] + A (u - E[c])",
        "P <- K P of all decks, then P[c] <- P[c] + epP if x >= 0, else P[c] + epN",
        "p(choice) = softmax(theta (w E + (1 - w) P))",
    ),
    "orl": (
        "x = (gain - |loss|) / 100, s = sign of x",
        "V[c] <- V[c] + a (x - V[c]), F[c] <- F[c] + a (s - F[c]), a = alpha_rew if x >= 0, else alpha_pun",
        "of the others F <- F + a' (-s / 3 - F), a' = alpha_pun if x >= 0, else alpha_rew",
        "P[c] <- 1, then P <- P / (1 + k) of all decks, k = 3^K - 1",
        "p(choice) = softmax(V + beta_f F + beta_p P)",
    ),
    "bart": (
        "q = (phi + eta n_held) / (1 + eta n_pumps), the belief that a pump does not burst the balloon",
        "target = -gamma / log q",
        "p(pump number l) = sigma(tau (target - l))",
    ),
    "bart_ewmv": (
        "b = e psi + (1 - e) (share of pumps that burst), e = exp(-xi n_pumps)",
        "lost = loss_aversion (l - 1), what a burst at pump l costs in units of what a pump wins",
        "U = (1 - b) - b lost + rho b (1 - b) (1 + lost)^2",
        "p(pump) = sigma(tau U)",
    ),
    "cambridge_gambling": (
        "p(red) = c r^alpha / (c r^alpha + (1 - c) (1 - r)^alpha), r the share of red boxes",
        "q = r after red, else 1 - r; X = points (1 + share bet) / 100, Y = points (1 - share bet) / 100",
        "U = q log(1 + X) + (1 - q) log(1 + rho Y) - beta w, w from 0 (first bet) to 1 (last bet offered)",
        "p(bet) = softmax(gamma U)",
    ),
    "two_step": (
        *_TWO_STAGES,
        _MB,
        "p(choice1) = softmax(beta1 (w MB + (1 - w) Q1 + stick 1[last choice1]))",
        _CHOICE2,
    ),
    "two_step_sarsa": (*_TWO_STAGES, "p(choice1) = softmax(beta1 (Q1 + stick 1[last choice1]))", _CHOICE2),
    "two_step_model_based": (
        "Q2[state2, choice2] <- Q2[state2, choice2] + alpha2 (reward - Q2[state2, choice2])",
        _MB,
        "p(choice1) = softmax(beta1 (MB + stick 1[last choice1]))",
        _CHOICE2,
    ),
    "two_step_separate": (
        *_TWO_STAGES,
        _MB,
        "p(choice1) = softmax(beta_mb MB + beta_mf Q1 + stick 1[last choice1])",
        _CHOICE2,
    ),
    "go_nogo_rw": _go("Q[cue, go]"),
    "go_nogo_bias": _go("Q[cue, go] + b"),
    "go_nogo_pavlovian": _go("Q[cue, go] + b + pi V[cue]"),
    "go_nogo_valence": _go(
        "Q[cue, go] + b + pi V[cue]", "rho_rew outcome of a reward, rho_pun outcome of a punishment"
    ),
    "rlwm": (
        "WM <- WM + forget (1/3 - WM) of everything, then WM[s, c] <- WM[s, c] + b (correct - WM[s, c])",
        "b = 1 after a right response, bias_wm after an error",
        "Q[s, c] <- Q[s, c] + alpha b' (r - Q[s, c]), b' = 1 after a right response, bias_rl after an error",
        "r = 1 after a right response, error_reward = 0 after an error",
        "each policy = epsilon / 3 + (1 - epsilon) softmax(25 (value + stick 1[last choice]))",
        "p(choice) = w p_WM + (1 - w) p_RL, w = rho min(1, capacity / set_size)",
    ),
    "ddm": (_DIFFUSION, _RT),
    "ddm_stimulus": ("the drift is v where the stimulus is 1, -v where it is 0", _DIFFUSION, _RT),
    "ddm_gonogo": (_DIFFUSION, _RT, "p(no go) = p(bound 0) + p(bound a after the deadline)"),
    "shifted_wald": (
        "evidence drifts from 0 to one bound a with v, with a unit of noise",
        "rt = t + the time this takes",
    ),
    "ex_gaussian": ("rt = Normal(mu, sigma) + Exponential with the mean tau, given that it is above 0",),
    "lba": (
        "option k rises from Uniform(0, A) in a straight line, with the slope Normal(v[k], 1), given that it is above 0",
        _RACE,
    ),
    "rdm": ("option k drifts from Uniform(0, A) with v[k], with a unit of noise", _RACE),
    "lnr": ("option k takes exp(Normal(m[k], s))", "the first option is the choice, rt = t + the time it took"),
    "bayes": (
        "p(observation | pond) = lambda1 of the pond's own colour, (1 - lambda1) / (K - 1) of others",
        "belief <- belief p(observation | pond) / sum",
        "p(choice) = belief, after the observation",
    ),
    "hgf": (
        "mhat1 = sigma(mu2), sahat2 = sa2 + exp(mu3 + omega2)",
        "sa2 <- 1 / (1 / sahat2 + mhat1 (1 - mhat1)), mu2 <- mu2 + sa2 (outcome - mhat1)",
        "v = exp(mu3 + omega2) / sahat2, da2 = (sa2 + (step of mu2)^2) / sahat2 - 1, sahat3 = sa3 + exp(omega3)",
        "1 / sa3 <- 1 / sahat3 + v (v + (2 v - 1) da2) / 2, mu3 <- mu3 + sa3 v da2 / 2",
        _HGF_RESPONSE.format(m="mhat1"),
    ),
    "rw_belief": ("m <- m + alpha (outcome - m), m = .5 at first", _HGF_RESPONSE.format(m="m")),
    "hgf_continuous": (
        "sahat1 = sa1 + exp(mu2 + omega1), rate = sahat1 / (sahat1 + alpha)",
        "mu1 <- mu1 + rate (outcome - mu1), sa1 <- rate alpha; mu1 = mu1_0 at first",
        "mu2 and sa2 as mu3 and sa3 of `hgf`, with omega2 in place of omega3",
        "prediction = Normal(mu1, zeta)",
    ),
    "change_point": (
        "d = outcome - m, after n outcomes since the last change",
        "odds of a change = hazard / (1 - hazard) (p(outcome anywhere) / Normal(outcome; m, noise root(1 + 1/n)))^lambda_",
        "c = odds / (1 + odds), rate = (1 + c n) / (1 + n)",
        "m <- m + rate d, n <- (n + 1) (1 - c) + c",
        "prediction = Normal(m, zeta)",
    ),
    "hmm_reversal": (
        "p(reward | option is good) = reward_good where it was chosen, reward_bad where another was",
        "belief <- belief p(outcome) / sum, then belief <- (1 - hazard) belief + hazard (1 - belief) / (K - 1)",
        "p(choice) = softmax(beta belief)",
    ),
    "dd_hyperbolic": _delay("1 / (1 + k t)"),
    "dd_exponential": _delay("exp(-k t)"),
    "dd_quasi_hyperbolic": _delay("beta delta^t where t > 0, else 1"),
    "dd_myerson_green": _delay("(1 + k t)^-s"),
    "dd_rachlin": _delay("1 / (1 + k t^s)"),
    "dd_constant_sensitivity": _delay("exp(-(k t)^s)"),
    "pd_hyperbolic": _offers("U0 = amount_certain, U1 = amount_risky / (1 + h (1 - probability) / probability)"),
    "sd_hyperbolic": _offers(
        "U = own + other w_other / (1 + k social_distance), of the selfish (0) and the prosocial offer (1)"
    ),
    "sd_parabolic": _offers("U = own + other - k social_distance^2, where other is above 0"),
    "sd_linear": _offers("U = own + other - k social_distance, where other is above 0"),
    "prospect": _offers(
        "u(x) = x^rho of gains, -loss_aversion |x|^rho of losses",
        "U0 = u(certain), U1 = u(gain) / 2 + u(-|loss|) / 2",
    ),
    "prospect_linear": _offers(
        "u(x) = x of gains, -loss_aversion |x| of losses", "U0 = u(certain), U1 = (u(gain) + u(loss)) / 2"
    ),
    "prospect_no_loss_aversion": _offers(
        "u(x) = x^rho of gains, -|x|^rho of losses", "U0 = u(certain), U1 = (u(gain) + u(loss)) / 2"
    ),
    "prospect_cumulative": _offers(
        "u(x) = x^alpha of gains, -loss_aversion |x|^beta of losses",
        "w(q) = q^g / (q^g + (1 - q)^g)^(1 / g), g = gamma of gains, gamma_loss of losses",
        "of two gains or two losses the outer one weighs w(its probability), the inner one w(both) - w(outer)",
        "U0 = u(certain), U1 = sum of weights times u(outcome)",
    ),
    "ambiguity": _offers("U0 = certain^alpha, U1 = (probability - beta ambiguity / 2) amount^alpha"),
    "crra": _offers("U0 = certain^(1 - r), U1 = probability amount^(1 - r)"),
    "mean_variance": _offers("U0 = certain, U1 = probability amount - b probability (1 - probability) amount^2"),
    "effort_parabolic": _offers("U = amount - k effort^2, of the low (0) and the high offer (1)"),
    "effort_linear": _offers("U = amount - k effort, of the low (0) and the high offer (1)"),
    "effort_hyperbolic": _offers("U = amount / (1 + k effort), of the low (0) and the high offer (1)"),
    "effort_power": _offers("U = amount - k effort^s, of the low (0) and the high offer (1)"),
    "ultimatum_fehr_schmidt": ("U = own - alpha max(other - own, 0) - beta max(own - other, 0)", _ULTIMATUM),
    "ultimatum_bayes": (
        "n <- n + 1, norm <- norm + (offer - norm) / n; norm = 10 and n = 4 at first",
        "U = offer - alpha max(norm - offer, 0) - beta max(offer - norm, 0)",
        _ULTIMATUM,
    ),
    "ultimatum_delta": (
        "norm <- norm + epsilon (offer - norm); norm = 10 at first",
        "U = offer - alpha max(norm - offer, 0)",
        _ULTIMATUM,
    ),
    "peer_influence": (
        "U = probability high^rho + (1 - probability) low^rho, of the safer (0) and the riskier gamble (1)",
        "ocu is added to U of the gamble that peers took",
        _TAU,
    ),
    "aversive": (
        "m <- m + alpha (1[shock after option 0] - m), m = .5 at first",
        "m' = gamma (m - .5) + .5, kept within 0 and 1",
        "p(choice 0) = sigma(tau ((1 - m') magnitude1 - m' magnitude0))",
    ),
    "happiness": (
        "U0 = u(certain), U1 = (u(gain) + u(loss)) / 2, u(x) = x^rho of gains, -loss_aversion |x|^rho of losses",
        _TAU,
        "CR, EV, RPE <- gamma times what they were, plus those of this trial",
        "happiness = Normal(w0 + w_certain CR + w_ev EV + w_rpe RPE, sigma)",
    ),
    "card_sorting": (
        "p(pile) = sum of attention^d of the dimensions that match it / sum of attention^d",
        "s = attention of the dimensions that the feedback speaks for, divided by its sum",
        "attention <- attention + r (s - attention) after a right answer, + p (s - attention) after a wrong one",
    ),
    "glm": (_REGRESSION, "y = Normal(eta, sigma)"),
    "glm_decay": (_LINGER, "y = Normal(eta, sigma)"),
    "glm_ar": (_REGRESSION, "y = Normal(eta + phi y_last, sigma)"),
    "logit": (_REGRESSION, "p(y = 1) = sigma(eta)"),
    "logit_decay": (_LINGER, "p(y = 1) = sigma(eta)"),
    "poisson": (_REGRESSION, "y = Poisson(exp(eta))"),
    "binomial": ("k = Binomial(n, p)",),
    "negative_binomial": ("y = NegativeBinomial with the mean mu and the variance mu + mu^2 / size",),
    "beta_rating": ("rating = Beta(mu phi, (1 - mu) phi)",),
    "ordinal_logit": ("p(rating_level <= j) = sigma(threshold[j])",),
    "ordinal_probit": ("p(rating_level <= j) = Phi(threshold[j])",),
    "sdt": ("p(yes) = Phi(d_prime / 2 - criterion) of a signal, Phi(-d_prime / 2 - criterion) of noise",),
    "sdt_rating": (
        "p(rating_level <= j) = Phi(criterion[j] - d_prime / 2) of a signal, Phi(criterion[j] + d_prime / 2) of noise",
    ),
    "sdt_rating_unequal": (
        "p(rating_level <= j) = Phi((criterion[j] - d_prime / 2) / sigma) of a signal",
        "p(rating_level <= j) = Phi(criterion[j] + d_prime / 2) of noise",
    ),
    "two_afc": (
        "p(choice 1) = Phi(d_prime / root(2) - bias) of a signal there, Phi(-d_prime / root(2) - bias) of one in place 0",
    ),
    "psychometric": (_PSYCHOMETRIC, "F(x) = sigma(slope (x - threshold))"),
    "psychometric_normal": (_PSYCHOMETRIC, "F(x) = Phi(slope (x - threshold))"),
    "psychometric_weibull": (_PSYCHOMETRIC, "F(x) = 1 - exp(-(x / threshold)^slope)"),
    "meta_d": (
        "p(choice 1) = Phi(d_prime / 2 - criterion) of a signal, Phi(-d_prime / 2 - criterion) of noise",
        "confidence, given the choice: the same with m_ratio d_prime in place of d_prime and m_ratio criterion as criterion",
        "its criteria lie steps0 below and steps1 above, one after another",
    ),
    "aif_bandit": (
        "counts of outcomes of each option, which lose the share forgetting on each trial",
        "G = -preference times the expected outcome - information about what options pay",
        "p(choice) = softmax(-G)",
    ),
    "aif_reversal": (
        "belief <- belief p(outcome) / sum, and the better option changes with the probability hazard",
        "G = -preference times the expected outcome",
        "p(choice) = softmax(-G)",
    ),
    "aif_tmaze": (
        "beliefs about the arm that pays, with reward_probability, follow from cue and outcomes by Bayes' rule",
        "G of each plan = -expected preference - information about the arms",
        "p(plan) = softmax(-gamma G), actions by the plans that hold them",
    ),
}
"""Lines of each model; options of a model change them as its documentation says."""
