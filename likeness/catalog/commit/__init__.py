"""Committing a batch: read what it touches, decide in memory, write the difference.

Everything happens in one transaction that holds the collection's row, so two indexers of one
folder take turns, and whoever comes second finds the work done and writes nothing.
"""
