"""The demo's company: three Go services, a PHP gateway, and a stand-in for its OCP.

Knows git and nothing of the product; the demo and the end-to-end tests share it.
"""
