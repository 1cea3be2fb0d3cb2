"""Ways to train a network; each gives its objective to the one loop of `core/fit.py`."""
