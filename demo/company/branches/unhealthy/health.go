package main

import "errors"

// prepare runs before the service listens.
func prepare() {}

// healthy says whether the service can do its work.
func healthy() error { return errors.New("cannot reach ledger: connection refused") }
