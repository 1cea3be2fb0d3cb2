"""Sequences of events, such as "login>read>logout": a domain in one folder."""
