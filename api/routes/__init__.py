"""Routes: parse, make one call, map the result."""
