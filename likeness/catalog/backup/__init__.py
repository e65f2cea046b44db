"""A catalog's rows to files and back, as of one moment, while others go on writing."""
