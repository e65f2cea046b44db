"""The k-nearest-neighbour graph of a space: built in blocks, updated, stored with a checksum."""
