"""Copies, clusters and the map of a collection, for the routes: as jobs and as quick reads."""
