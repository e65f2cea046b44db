"""The Python client: one set of methods, in this process or through a service."""
