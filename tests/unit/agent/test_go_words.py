"""What a recipe may tell go: much, but nothing that would run another program."""

import pytest

from sdp.agent.go_words import hostile
from sdp.protocol.actions import GoRecipe


def recipe(*flags: str, **environment: str) -> GoRecipe:
    return GoRecipe(service="account", package=".", flags=flags, environment=environment)


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-tags", "qa,integration"),
        ("-tags=qa", "-trimpath", "-race"),
        ("-ldflags=-s -w",),
        ("-ldflags", "-X main.version=1.2 -X 'main.built by=sdp' -s"),
        ("-gcflags=all=-N -l",),
        ("-mod=vendor", "-v"),
    ],
)
def test_words_that_only_shape_the_program_are_given_to_go(flags):
    assert hostile(recipe(*flags, CGO_ENABLED="0", GOARCH="amd64")) is None


@pytest.mark.parametrize(
    "flags",
    [
        ("-toolexec=/bin/sh -c id",),
        ("-toolexec", "/bin/sh"),
        ("--toolexec=/bin/sh",),
        ("-trimpath", "-exec=x"),
        ("-overlay=/etc/x.json",),
        ("-modfile=/etc/go.mod",),
        ("-o", "/etc/cron.d/x"),
        ("-C", "/"),
        ("-pkgdir=/tmp",),
        ("-ldflags=-linkmode=external -extld=/tmp/x",),
        ("-ldflags", "-s -extldflags=-fplugin=x"),
        ("-gcflags=all=-importcfg=/etc/passwd",),
        ("-gcflags=std=-importcfg=/etc/passwd -N",),
        ("-ldflags='all=-extld=/tmp/x'",),
        ("-race=/bin/sh",),
        ("-v", "./other"),
        ("",),
    ],
)
def test_a_word_that_could_run_a_program_or_leave_the_tree_is_not(flags):
    assert hostile(recipe(*flags)) in flags


@pytest.mark.parametrize("name", ["CC", "GOFLAGS", "LD_PRELOAD", "GOROOT", "GIT_SSH_COMMAND"])
def test_a_variable_that_could_run_a_program_is_not_given_to_go(name):
    assert hostile(recipe(**{name: "/tmp/x"})) == name


def test_what_the_agents_own_file_allows_is_given_to_go():
    word = "-toolexec=/opt/measure"
    assert hostile(recipe(word, CC="gcc"), frozenset({word, "CC"})) is None
    assert hostile(recipe(f"{word}2", CC="gcc"), frozenset({word, "CC"})) == f"{word}2"
