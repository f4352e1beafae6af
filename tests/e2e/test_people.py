"""People: they are who Bitbucket says, may do what their role says, and are out at once."""

import json

import pytest

pytestmark = pytest.mark.e2e


def test_whom_bitbucket_knows_may_do_what_their_role_says_and_is_out_at_once(world):
    budi = world.as_user("budi")
    wrong = budi.sdp("login", "--user", "budi", "--password-stdin", stdin="not-budis")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "LOGIN FAILED" in wrong.stderr
    budi.log_in()
    assert "budi is VIEWER" in budi.sdp("whoami").stdout
    refused = budi.sdp("logout", "--user", "sari")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "budi may not do that: it takes 'administer', which ADMIN has" in refused.stderr
    with budi.open("/api/events") as stream:
        stream.readline()
        assert world.sdp("logout", "--user", "budi").stdout == "1 session of budi ended\n"
        stream.read()  # to its end, which else is in no time that it would wait for
    assert "the session of budi" in budi.sdp("status").stderr
    told = json.loads(world.sdp("audit", "--user", "budi", "--json").stdout)
    acts = {(each["kind"], each["status"]) for each in told}
    assert acts >= {("LOGIN", "failed"), ("LOGIN", "done"), ("REFUSAL", "refused")}


def test_a_restart_keeps_people_logged_in_and_forgets_what_they_logged_in_with(world):
    def at_hand() -> bool:
        return bool(json.loads(world.sdp("whoami", "--json").stdout)["credentials"])

    world.achmad.log_in()
    assert at_hand()
    world.kill("control-plane")
    world.start_control_plane()
    world.until(world.heard, "both agents are heard", 60)
    assert not at_hand()
    world.achmad.log_in()
    assert at_hand()
