//go:build !race

package godwit_test

const raceEnabled = false
