package main

const (
	service = "{{service}}"
	branch  = "{{branch}}"
)
