"""What a commit's message lets happen."""

import pytest

from sdp.spec.trailers import allowed_deletes, allowing


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("Clean up\n\nSDP-Allow-Deletes: 4\n", 4),
        ("Clean up\n\nNobody uses them.\n\nReviewed-by: Sari\nsdp-allow-deletes: 12", 12),
        ("Clean up", 0),
        ("SDP-Allow-Deletes: 4", 0),
        ("Clean up\n\nSDP-Allow-Deletes: 4\n\nMore was said later.", 0),
        ("Clean up\n\nSDP-Allow-Deletes: all", 0),
        ("Clean up\n\nSDP-Allow-Deletes: -3", 0),
        ("Clean up\n\nSDP-Allow-Deletes: 99999999", 0),
        ("", 0),
    ],
)
def test_only_a_trailer_with_a_number_lets_sandboxes_go(message, number):
    assert allowed_deletes(message) == number


@pytest.mark.parametrize(
    "message", ["Clean up", "Clean up\n\nWhy: it is old\n", "Clean up\n\nThey are old.\n\n"]
)
def test_what_is_written_is_read(message):
    written = allowing(message, 7)
    assert allowed_deletes(written) == 7
    assert written.startswith(message.rstrip())


def test_a_trailer_joins_the_trailers():
    assert allowing("Clean up\n\nReviewed-by: Sari\n", 2) == (
        "Clean up\n\nReviewed-by: Sari\nSDP-Allow-Deletes: 2\n"
    )
