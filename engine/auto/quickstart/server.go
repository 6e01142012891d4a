package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"

	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/examples/quickstart/tour"
)

// server speaks HTTP/1.1 and HTTP/2 over TCP, and HTTP/3 over QUIC on the same
// port, which it announces by Alt-Svc.
type server struct {
	url   string
	roots *x509.CertPool
	close func()
}

func startServer() (*server, error) {
	handler, err := tour.Handler()
	if err != nil {
		return nil, err
	}
	tcp, socket, err := listen()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(tcp.Listener.Addr().String())
	tcp.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":`+port+`"; ma=3600`)
		handler.ServeHTTP(w, r)
	})
	tcp.EnableHTTP2 = true
	tcp.StartTLS()
	quic := &h3.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: tcp.TLS.Certificates}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = quic.Serve(socket)
	}()
	s := &server{url: tcp.URL, roots: x509.NewCertPool()}
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

// protocols counts responses.
type protocols map[string]int

func (p protocols) note() godwit.Option {
	var mu sync.Mutex
	return godwit.On(func(_ context.Context, e godwit.Received) {
		mu.Lock()
		defer mu.Unlock()
		p[e.Response.Proto]++
	})
}
