package main

import (
	"errors"
	"net/http"
	"os"
	"sync/atomic"
)

var sick atomic.Bool

// ail makes the service suffer as asked, so that a test can see how that is told.
func ail(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("how") {
	case "sick":
		sick.Store(true)
	case "well":
		sick.Store(false)
	case "crash":
		os.Exit(3)
	case "hungry":
		devour()
	default:
		http.Error(w, "how: sick, well, crash or hungry", http.StatusBadRequest)
	}
}

// ailing says whether the service was made sick.
func ailing() error {
	if sick.Load() {
		return errors.New("made sick")
	}
	return nil
}

// devour takes memory, and writes to all of it, until there is none left.
func devour() {
	for held := [][]byte{}; ; {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		held = append(held, block)
	}
}
