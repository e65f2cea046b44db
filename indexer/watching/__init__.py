"""Keeping a collection in step with folders as they change."""
