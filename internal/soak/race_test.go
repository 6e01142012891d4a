//go:build race

package soak_test

// defaultRequests: under the race detector each takes several times as long.
const defaultRequests = 4_000
