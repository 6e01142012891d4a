//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: the server needs epoll, and so this program Linux")
	os.Exit(1)
}
