package auto

import (
	"context"
	"encoding/json"
	"time"

	"github.com/godwit-go/godwit/internal/sharedfile"
)

// Snapshot is all that the engine remembers of origins.
type Snapshot struct {
	Services []Service `json:"services,omitempty"`
	Broken   []Broken  `json:"broken,omitempty"`
}

// Service is an origin with its alternatives, in the order of its preference.
type Service struct {
	Origin       string        `json:"origin"` // host:port
	Alternatives []Alternative `json:"alternatives"`
}

// Broken is an alternative that did not work.
type Broken struct {
	Origin    string `json:"origin"`
	Authority string `json:"authority"`
	// Until is when it may be tried again; Failures is how often it has failed in
	// a row, which the next pause depends on.
	Until    time.Time `json:"until"`
	Failures int       `json:"failures"`
}

// Storage keeps a Snapshot from one run of a program to the next. The engine
// calls Load once, when it is made, and Save when something has changed, from one
// goroutine at a time.
type Storage interface {
	// Load returns what was saved last, or an empty Snapshot.
	Load(ctx context.Context) (Snapshot, error)
	// Save replaces what was saved before.
	Save(ctx context.Context, s Snapshot) error
}

// File returns a Storage in the file at path, JSON that only its owner can read.
// The file is replaced as a whole, so that a crash leaves the old or the new one;
// of two programs that share it the last one to save wins.
func File(path string) Storage { return &file{sharedfile.New(path)} }

type file struct{ f *sharedfile.File }

// Load reads the file; none is an empty Snapshot, and one that is no JSON an error.
func (s *file) Load(context.Context) (snapshot Snapshot, err error) {
	err = s.f.Load(func(data []byte) error {
		if len(data) == 0 {
			return nil
		}
		return json.Unmarshal(data, &snapshot)
	})
	return snapshot, err
}

// Save replaces the file.
func (s *file) Save(_ context.Context, snapshot Snapshot) error {
	data, err := json.MarshalIndent(snapshot, "", "\t")
	if err != nil {
		return err
	}
	return s.f.Replace(append(data, '\n'))
}
