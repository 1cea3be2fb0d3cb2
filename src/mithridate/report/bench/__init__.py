"""Static pages and tables of a benchmark, from its records alone."""
