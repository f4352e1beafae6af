package main

import "log"

// prepare runs before the service listens.
func prepare() { log.Fatal("LEDGER_DSN is not set") }

// healthy says whether the service can do its work.
func healthy() error { return nil }
