"""Population distributions over people: their M-step, their priors, and the posteriors of people."""
