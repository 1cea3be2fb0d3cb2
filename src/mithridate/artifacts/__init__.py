"""Model files: opened safely, quantised, and given a twin that has gradients."""
