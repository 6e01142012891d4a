package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"

	h3 "github.com/quic-go/quic-go/http3"
)

// large is the body of the download.
var large = bytes.Repeat([]byte("A godwit flies there and back. "), 16<<20/31)

// server speaks HTTP/1.1 and HTTP/2 over TCP, and HTTP/3 over QUIC on the same
// port, which it announces by Alt-Svc.
type server struct {
	url   string
	roots *x509.CertPool
	close func()

	mu    sync.Mutex // guards users
	users map[int]User
}

func startServer() (*server, error) {
	s := &server{users: make(map[int]User)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /users", s.add)
	mux.HandleFunc("GET /users/{id}", s.get)
	mux.Handle("GET /moved", http.RedirectHandler("/users/7", http.StatusFound))
	mux.HandleFunc("GET /never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) })
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err == nil {
			fmt.Fprintf(w, "%x", h.Sum(nil))
		}
	})
	tcp, socket, err := listen()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(tcp.Listener.Addr().String())
	tcp.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":`+port+`"; ma=3600`)
		mux.ServeHTTP(w, r)
	})
	tcp.EnableHTTP2 = true
	tcp.StartTLS()
	quic := &h3.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: tcp.TLS.Certificates}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = quic.Serve(socket)
	}()
	s.url, s.roots = tcp.URL, x509.NewCertPool()
	s.roots.AddCert(tcp.Certificate())
	s.close = func() {
		tcp.CloseClientConnections()
		tcp.Close()
		quic.Close()
		socket.Close()
		<-done
	}
	return s, nil
}

// listen opens one port over TCP and UDP.
func listen() (tcp *httptest.Server, socket net.PacketConn, err error) {
	for range 20 { // a port that is free for one need not be for the other
		tcp = httptest.NewUnstartedServer(nil)
		if socket, err = net.ListenPacket("udp", tcp.Listener.Addr().String()); err == nil {
			return tcp, socket, nil
		}
		tcp.Listener.Close()
	}
	return nil, nil, err
}

func (s *server) add(w http.ResponseWriter, r *http.Request) {
	var u User
	if err := json.NewDecoder(r.Body).Decode(&u); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.users[u.ID] = u
	s.mu.Unlock()
	answer(w, u)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	s.mu.Lock()
	u, ok := s.users[id]
	s.mu.Unlock()
	if err != nil || !ok {
		http.NotFound(w, r)
		return
	}
	answer(w, u)
}

func answer(w http.ResponseWriter, u User) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u)
}
