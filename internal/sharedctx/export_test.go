package sharedctx

const (
	Few  = few
	Many = many
)

// Places returns how many contexts may be kept.
func (w *Watcher) Places() int { return len(w.table.Load().places) }
