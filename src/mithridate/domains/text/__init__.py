"""Texts: object[n] of str."""
