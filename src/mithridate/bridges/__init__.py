"""Other people's systems that run what is written here."""
