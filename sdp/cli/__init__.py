"""The sdp command."""
