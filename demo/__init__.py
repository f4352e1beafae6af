"""The product at work on one machine: `make demo`."""
