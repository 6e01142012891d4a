package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// epollServer answers on one thread. Its sessions do the thinking.
type epollServer struct {
	listener, epoll int
	port            int
	conns           map[int]*epollConn
	waiting         []*epollConn // at the barrier
	in, out         []byte
}

type epollConn struct {
	session
	fd      int
	pending []byte // not sent yet; the session's stream comes after it
	waits   bool   // for room to write
	bound   bool   // its buffers are
}

var zeros = make([]byte, 256<<10)

func newEpollServer() (*epollServer, error) {
	s := &epollServer{conns: make(map[int]*epollConn), in: make([]byte, 256<<10)}
	var err error
	if s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if err := unix.Bind(s.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	if err := unix.Listen(s.listener, 4096); err != nil {
		return nil, err
	}
	name, err := unix.Getsockname(s.listener)
	if err != nil {
		return nil, err
	}
	s.port = name.(*unix.SockaddrInet4).Port
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	return s, s.watch(unix.EPOLL_CTL_ADD, s.listener, unix.EPOLLIN)
}

func (s *epollServer) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(s.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// run never returns but by an error.
func (s *epollServer) run() error {
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == s.listener {
				s.accept()
				continue
			}
			c := s.conns[int(e.Fd)]
			if c == nil {
				continue
			}
			ok := true
			if e.Events&unix.EPOLLOUT != 0 {
				ok = s.flush(c)
			}
			if ok && e.Events&^unix.EPOLLOUT != 0 {
				ok = s.receive(c)
			}
			if !ok {
				s.drop(c)
			}
		}
	}
}

func (s *epollServer) accept() {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		s.conns[fd] = &epollConn{fd: fd}
		s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
	}
}

func (s *epollServer) drop(c *epollConn) {
	delete(s.conns, c.fd)
	unix.Close(c.fd)
}

// receive reads once: what is left is told again.
func (s *epollServer) receive(c *epollConn) bool {
	n, err := unix.Read(c.fd, s.in)
	if n <= 0 {
		return err == unix.EAGAIN || err == unix.EINTR
	}
	s.out, err = c.feed(s.in[:n], s.out[:0])
	if err != nil {
		return false
	}
	if c.barrier > 0 {
		s.arrive(c)
	}
	if !c.bound && (c.stream > 0 || c.path == pathUpload) {
		c.bound = true
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bulkBuffer)
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bulkBuffer)
	}
	return s.send(c, s.out)
}

// bulkBuffer bounds what waits in the kernel of bulk bodies. Over the loopback device
// who makes room moves what waits for it, on his own account: with buffers that grow as
// they like it is chance which side that is. With these the server pays for most of it.
const bulkBuffer = 128 << 10

// arrive lets all waiting connections go on when they are complete.
func (s *epollServer) arrive(c *epollConn) {
	s.waiting = append(s.waiting, c)
	enough := len(s.waiting) >= c.barrier
	c.barrier = 0
	if !enough {
		return
	}
	for _, w := range s.waiting {
		if s.conns[w.fd] == w && !s.send(w, smallAnswer) {
			s.drop(w)
		}
	}
	s.waiting = nil
}

func (s *epollServer) send(c *epollConn, b []byte) bool {
	if len(c.pending) == 0 && len(b) > 0 {
		n, err := unix.Write(c.fd, b)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return false
		}
		b = b[max(n, 0):]
	}
	c.pending = append(c.pending, b...)
	if len(c.pending) == 0 && c.stream == 0 {
		return true
	}
	return s.flush(c)
}

// flush writes until the socket takes no more.
func (s *epollServer) flush(c *epollConn) bool {
	for len(c.pending) > 0 || c.stream > 0 {
		piece := c.pending
		if len(piece) == 0 {
			piece = zeros[:min(c.stream, int64(len(zeros)))]
		}
		n, err := unix.Write(c.fd, piece)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if !c.waits {
				c.waits = true
				s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT)
			}
			return true
		case err != nil:
			return false
		case len(c.pending) > 0:
			c.pending = c.pending[n:]
		default:
			c.stream -= int64(n)
		}
	}
	c.pending = nil
	if c.waits {
		c.waits = false
		s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN)
	}
	return true
}

// tlsServer does the same over TLS, by a goroutine for each connection: there
// the cryptography costs more than they do.
type tlsServer struct {
	listener net.Listener
	roots    []byte // PEM
	key      []byte // PEM

	certificates []tls.Certificate

	mu      sync.Mutex // guards waiting and gate
	waiting int
	gate    chan struct{} // closed when enough wait
}

func newTLSServer() (*tlsServer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &tlsServer{listener: listener, roots: roots, key: keyPEM(private), certificates: config.Certificates, gate: make(chan struct{})}, nil
}

func (s *tlsServer) run() error {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return err
		}
		go s.serve(c)
	}
}

func (s *tlsServer) serve(c net.Conn) {
	defer c.Close()
	var session session
	buf, out := make([]byte, 4<<10), []byte(nil)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if out, err = session.feed(buf[:n], out[:0]); err != nil {
			return
		}
		if session.barrier > 0 {
			s.arrive(session.barrier)
			session.barrier = 0
			out = append(out, smallAnswer...)
		}
		if session.path != "" && len(buf) < len(zeros) {
			buf = make([]byte, len(zeros)) // a body comes
		}
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
		}
		for ; session.stream > 0; session.stream -= min(session.stream, int64(len(zeros))) {
			if _, err := c.Write(zeros[:min(session.stream, int64(len(zeros)))]); err != nil {
				return
			}
		}
	}
}

// arrive waits until n connections do.
func (s *tlsServer) arrive(n int) {
	s.mu.Lock()
	gate := s.gate
	if s.waiting++; s.waiting >= n {
		s.waiting, s.gate = 0, make(chan struct{})
		close(gate)
	}
	s.mu.Unlock()
	<-gate
}
