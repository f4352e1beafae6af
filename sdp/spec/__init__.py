"""What a user may say: the YAML specs, their models, and loading them with exact errors."""
