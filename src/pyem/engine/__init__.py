"""Log-likelihoods of all people at once, their derivatives and integrals, and checks that a model suits its data."""

from pyem.engine.evaluate import log_lik, log_lik_draws, trial_values, value_grad_hess

__all__ = ["log_lik", "log_lik_draws", "trial_values", "value_grad_hess"]
