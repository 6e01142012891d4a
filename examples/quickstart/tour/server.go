package tour

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
)

// largeSize is the size of the download.
const largeSize = 64 << 20

// What the server says, as the steps expect it.
const (
	meeting    = "well met"
	noSuchUser = `{"type":"https://example.org/problems/no-such-user","title":"No such user","status":404,"detail":"nobody has this id","id":404}`
)

// site is the other side of the tour: plain net/http, nothing of godwit.
type site struct {
	mu      sync.Mutex // guards what follows
	users   map[int]User
	waiting chan struct{} // closed when the second one comes to /meet; nil = nobody waits
}

// Handler is what the server of a tour answers with.
func Handler() (http.Handler, error) {
	s := &site{users: map[int]User{ada.ID: ada}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", s.user)
	mux.HandleFunc("POST /users", s.addUser)
	mux.HandleFunc("GET /meet", s.meet)
	mux.HandleFunc("GET /square", square)
	mux.HandleFunc("POST /upload", receiveUpload)
	mux.Handle("GET /moved", http.RedirectHandler("/moved/again", http.StatusMovedPermanently))
	mux.Handle("GET /moved/again", http.RedirectHandler("/users/7", http.StatusTemporaryRedirect))
	mux.HandleFunc("GET /never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /flight", flight)
	mux.HandleFunc("GET /echo", echo)
	mux.HandleFunc("CONNECT /echo", echo)
	large, err := largeFile()
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /large", large)
	return mux, nil
}

func (s *site) user(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	s.mu.Lock()
	user, ok := s.users[id]
	s.mu.Unlock()
	if err != nil || !ok {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, noSuchUser)
		return
	}
	answer(w, http.StatusOK, user)
}

func (s *site) addUser(w http.ResponseWriter, r *http.Request) {
	var user User
	if err := json.NewDecoder(r.Body).Decode(&user); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	user.ID = ada.ID + len(s.users)
	s.users[user.ID] = user
	s.mu.Unlock()
	answer(w, http.StatusCreated, user)
}

// meet answers when two requests wait here.
func (s *site) meet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	both := s.waiting
	if both == nil {
		both = make(chan struct{})
		s.waiting = both
	} else {
		close(both)
		s.waiting = nil
	}
	s.mu.Unlock()
	select {
	case <-both:
		io.WriteString(w, meeting)
	case <-r.Context().Done():
	}
}

// flight sends the next leg as an event, and ends the stream; the client comes
// again with the id of what it has.
func flight(w http.ResponseWriter, r *http.Request) {
	next, err := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	if err != nil || next < 0 {
		http.Error(w, "Last-Event-ID is no number", http.StatusBadRequest)
		return
	}
	if next >= len(legs) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	leg, err := json.Marshal(legs[next])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "retry: 20\nid: %d\ndata: %s\n\n", next+1, leg)
}

func square(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, n*n)
}

// receiveUpload compares each part with what the form should hold.
func receiveUpload(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	want := []struct {
		name, filename string
		data           []byte
	}{
		{"user", "", []byte(formUser)},
		{"password", "", []byte(formPassword)},
		{"file", formFilename, formFile},
	}
	var names []string
	for _, expected := range want {
		part, err := parts.NextPart()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		data, err := io.ReadAll(part)
		if err != nil || part.FormName() != expected.name || part.FileName() != expected.filename || !bytes.Equal(data, expected.data) {
			http.Error(w, fmt.Sprintf("part %q is not the %q that was expected", part.FormName(), expected.name), http.StatusUnprocessableEntity)
			return
		}
		names = append(names, expected.name)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		http.Error(w, "there are more parts than expected", http.StatusUnprocessableEntity)
		return
	}
	answer(w, http.StatusOK, Receipt{Parts: names, SHA256: fmt.Sprintf("%x", sha256.Sum256(formFile))})
}

// largeFile serves a stream of random bytes and announces its digest (RFC 9530).
func largeFile() (http.HandlerFunc, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, stream(largeSize)); err != nil {
		return nil, err
	}
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(hash.Sum(nil)) + ":"
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(largeSize))
		w.Header().Set("Content-Digest", digest)
		io.Copy(w, stream(largeSize))
	}, nil
}

// stream yields size bytes that look random and are always the same.
func stream(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte([]byte("the longest flight without rest."))), size)
}

func payload(size int64) []byte {
	data, err := io.ReadAll(stream(size))
	if err != nil {
		panic(err) // a generator has no way to fail
	}
	return data
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
