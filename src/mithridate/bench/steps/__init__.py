"""The kinds of steps that an experiment is made of, each in the order of the chain."""
