"""The page in a real Chromium, over a real service with the encoder that ships."""
