"""Everything that knows what an input is."""
