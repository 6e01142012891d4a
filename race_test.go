//go:build race

package godwit_test

const raceEnabled = true
