"""Attackers of data, of training and of weights; most are trigger x goal x selection."""
