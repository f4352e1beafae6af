package main

// limit does not compile: the helper it calls was never committed.
func limit(account string) int {
	return dailyLimit(account)
}
