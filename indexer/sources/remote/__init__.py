"""Sources that are elsewhere: object stores, listings of web servers, archives on either."""
