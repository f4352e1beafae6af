"""The loop from a commit to converged sandboxes, a module per stage."""
