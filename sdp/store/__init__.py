"""The cache of history: events, deployments, port leases, logs."""
