"""What the tests and the demo stand on: a Docker engine, two images, a Git server with a password.

Knows Debian and Docker, and nothing of the product. It starts only what is absent and stops only
what it started.
"""
