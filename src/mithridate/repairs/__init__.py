"""Ways to take a backdoor out of a trained model."""
