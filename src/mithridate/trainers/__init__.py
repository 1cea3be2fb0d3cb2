"""Ways to train; fit.py holds the one training loop."""
