"""Attackers of data: trigger x goal x selection."""
