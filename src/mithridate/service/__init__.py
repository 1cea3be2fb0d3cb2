"""A guarded model behind HTTP."""
