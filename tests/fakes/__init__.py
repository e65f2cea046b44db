"""Hand-written stand-ins with real behaviour, for tests that need no weights and no services."""
