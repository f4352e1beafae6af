"""HTTP, server-sent events, and the agents' WebSocket."""
