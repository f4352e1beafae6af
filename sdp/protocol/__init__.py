"""What the control plane and its agents say to each other: frames, actions, reports."""
