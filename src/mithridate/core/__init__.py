"""The language of the library: it knows no domain and no method."""
