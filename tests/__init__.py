"""The product's obligations."""
