//go:build !race

package soak_test

const defaultRequests = 20_000
