package tour

import (
	"fmt"
	"os"
	"strings"
)

// bar draws a progress bar: in place on a terminal, else as a line each quarter.
type bar struct {
	terminal bool
	shown    int64 // percent
}

func newBar() *bar {
	info, err := os.Stdout.Stat()
	return &bar{terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// report is a godwit.ProgressFunc.
func (b *bar) report(done, total int64) {
	if total <= 0 {
		return
	}
	percent := done * 100 / total
	switch {
	case b.terminal && percent > b.shown:
		const width = 40
		full := int(percent * width / 100)
		fmt.Printf("\r  [%s%s] %3d %%", strings.Repeat("#", full), strings.Repeat(".", width-full), percent)
		if percent == 100 {
			fmt.Println()
		}
	case !b.terminal && percent >= b.shown+25:
		fmt.Printf("  … %d of %d MiB\n", done>>20, total>>20)
	default:
		return
	}
	if !b.terminal {
		percent -= percent % 25
	}
	b.shown = percent
}
