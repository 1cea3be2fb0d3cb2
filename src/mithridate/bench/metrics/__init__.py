"""Every figure of the referee: what he measures, from answers, scores and the truth."""
