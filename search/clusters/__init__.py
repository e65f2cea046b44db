"""A collection brought into order: clusters, their names, a hierarchy, a map."""
