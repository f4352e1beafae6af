"""SOPS files with age recipients, read and written as the sops tool does. Knows no specs."""
