"""Sandbox Deployment Platform: YAML in git becomes running sandboxes, and stays so."""
