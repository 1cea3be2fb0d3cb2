"""The referee: the only place that holds both truth and scores."""
