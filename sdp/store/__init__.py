"""The cache of history: events, deployments, port leases, logs. Callers want ``sdp.store.store``."""
