"""Population distributions over people, their M-step, their priors, and what is known of each person."""
