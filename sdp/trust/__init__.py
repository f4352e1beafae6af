"""Whom the control plane believes: its own key, its agents' keys, and who may become one."""
