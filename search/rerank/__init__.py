"""Re-rankers: pure functions that put a shortlist into a better order. See docs/reranking.md."""
