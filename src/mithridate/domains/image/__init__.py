"""Images: uint8[n, channels, height, width]."""
