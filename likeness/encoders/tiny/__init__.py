"""The model that ships with the product: `likeness:tiny` and `likeness:tiny-copy`."""
