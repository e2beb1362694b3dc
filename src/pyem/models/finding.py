"""Search for models by task or by words."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping

from pyem.model.model import Model


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of task, with the models for it."""

    name: str
    question: str
    """Description of what people do in the task."""
    models: str
    """Regular expression of the names of its models."""
    words: str = ""
    """Further words for the task."""


KINDS = (
    Kind(
        "bandit",
        "choose again and again between options that pay or do not",
        r"rw[1-4]a1b|rw_.*|bias|wsls|rwck|ck|fictive.*|confirmation_bias|pearce_hall.*|ewa|kalman.*|ucb|thompson|hybrid|volatile_.*"
        r"|reward_punishment.*|aif_bandit|rw_belief",
        "reinforcement learning reversal probabilistic n-armed exploration",
    ),
    Kind(
        "reversal",
        "find out which option is better now, and notice when that changes",
        r"hmm_reversal|aif_reversal|rw1a1b|rw2a1b|fictive.*|confirmation_bias|pearce_hall.*|ewa|hgf|volatile_kalman.*",
        "switch volatility",
    ),
    Kind("prosocial learning", "learn what pays oneself and other people", r"rw[34]a1b", "other self recipients"),
    Kind(
        "probabilistic selection",
        "learn from pairs, then choose between new pairs",
        r"probabilistic_selection",
        "transfer",
    ),
    Kind("Iowa gambling", "pick cards from four decks", r"pvl_.*|vpp|orl", "igt decks"),
    Kind("balloon", "pump a balloon that may burst", r"bart.*", "analogue risk"),
    Kind(
        "two-step",
        "two choices in a row, of which the first leads to the second",
        r"two_step.*",
        "model-based planning Daw",
    ),
    Kind("go/no-go", "respond or hold still, to win or to avoid losing", r"go_nogo_.*", "Pavlovian"),
    Kind("working memory", "learn which action is right for each of a few stimuli", r"rlwm", "set size capacity"),
    Kind(
        "beliefs",
        "say where something comes from, or what comes next",
        r"bayes|hgf.*|rw_belief|change_point|hmm_reversal|volatile_.*",
        "prediction volatility fish beads",
    ),
    Kind("maze", "look for a cue before a choice", r"aif_tmaze", "active inference epistemic"),
    Kind("delay discounting", "less now or more later", r"dd_.*", "intertemporal impulsivity"),
    Kind("probability discounting", "a sure amount or a larger one at odds", r"pd_.*|crra|mean_variance", "risk odds"),
    Kind(
        "social discounting",
        "money for oneself or for somebody at a social distance",
        r"sd_(hyperbolic|parabolic|linear).*",
        "generosity",
    ),
    Kind(
        "risk",
        "a sure amount or a gamble",
        r"prospect.*|crra|mean_variance|ambiguity|peer_influence|happiness",
        "loss aversion lottery",
    ),
    Kind(
        "Cambridge gambling",
        "guess the colour of a box, and bet points on it",
        r"cambridge_gambling",
        "CGT bet risk taking impulsivity delay aversion",
    ),
    Kind("ambiguity", "gambles whose odds are hidden in part", r"ambiguity", "uncertainty"),
    Kind("effort", "more money for more work", r"effort_.*", "motivation apathy"),
    Kind("ultimatum game", "accept or reject a division of money", r"ultimatum_.*", "fairness norm inequity"),
    Kind("peer influence", "risky choices after seeing those of others", r"peer_influence", "social conformity"),
    Kind("aversive learning", "avoid a shock that follows one of two options", r"aversive", "anxiety volatility pain"),
    Kind("happiness", "rate one's mood between gambles", r"happiness", "well-being mood affect"),
    Kind("card sorting", "sort cards by a rule that changes", r"card_sorting", "Wisconsin WCST set shifting"),
    Kind("detection", "was there a signal, or an old item?", r"sdt.*|two_afc", "recognition memory old new yes no"),
    Kind("confidence", "decide, and say how sure one is", r"meta_d|sdt_rating.*", "metacognition"),
    Kind(
        "psychophysics",
        "more or less of something, at several intensities",
        r"psychometric.*|two_afc",
        "threshold contrast duration",
    ),
    Kind(
        "rating",
        "ratings on a scale or in categories",
        r"beta_rating|ordinal_.*|glm.*|happiness",
        "questionnaire Likert slider",
    ),
    Kind("counts", "how often, or how many of so many", r"binomial|negative_binomial|poisson", "accuracy score errors"),
    Kind(
        "regression",
        "any response, from columns of the table",
        r"glm.*|logit.*|poisson|binomial|negative_binomial|beta_rating|ordinal_.*",
        "linear logistic predictors",
    ),
    Kind(
        "response times",
        "choices and how long they took",
        r".*ddm.*|lba|rdm|lnr|shifted_wald|ex_gaussian|.*wiener.*",
        "diffusion reaction speed",
    ),
)
"""Kinds of task, in the order of the page of models."""


def kind_named(task: str) -> Kind:
    """Find the kind of task of that name, in any spelling.

    Raises
    ------
    ValueError
        If there is none.
    """
    plain = lambda text: re.sub(r"[^a-z]", "", text.lower())  # noqa: E731
    for kind in KINDS:
        if plain(kind.name) == plain(task):
            return kind
    raise ValueError(f"there is no kind of task {task!r}; there are {', '.join(kind.name for kind in KINDS)}")


def kinds_of(name: str) -> list[Kind]:
    """Kinds of task that a model is for.

    Examples
    --------
    >>> [kind.name for kind in kinds_of("two_step")]
    ['two-step']
    """
    return [kind for kind in KINDS if re.fullmatch(kind.models, name)]


def found(text: str, factories: Mapping[str, Callable[..., Model]]) -> list[str]:
    """Models with all words of `text` in their descriptions, those first that have them in their names and titles.

    Words match the beginnings of words.
    """
    words = [word for word in re.split(r"[^a-z0-9']+", text.lower()) if word]
    ranked = []
    for name, make in factories.items():
        model, kinds = make(), kinds_of(name)
        title = f"{name.replace('_', ' ')} {name} {model.doc} {' '.join(f'{k.name} {k.words}' for k in kinds)}"
        columns = f"{' '.join(model.columns)} {' '.join(f'{p.name} {p.doc}' for p in model.parameters)}"
        said = (make.func if isinstance(make, functools.partial) else make).__doc__ or ""
        about = f"{columns} {' '.join(k.question for k in kinds)} {said}"
        for rank, told in enumerate((title, f"{title} {about}")):
            if all(re.search(rf"\b{re.escape(word)}", told.lower()) for word in words):
                ranked.append((rank, name))
                break
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])]
