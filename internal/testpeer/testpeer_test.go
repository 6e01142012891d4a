package testpeer_test

import (
	"crypto/x509"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/testpeer"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestIssue(t *testing.T) {
	ca := testpeer.CA(t)
	if testpeer.CA(t) != ca {
		t.Error("CA returns another authority")
	}
	leaf, err := x509.ParseCertificate(ca.Issue(t, "example.test", "127.0.0.1").Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		valid bool
	}{{"example.test", true}, {"127.0.0.1", true}, {"other.test", false}, {"127.0.0.2", false}} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := leaf.Verify(x509.VerifyOptions{DNSName: tc.name, Roots: ca.Pool, KeyUsages: []x509.ExtKeyUsage{usage}})
			if (err == nil) != tc.valid {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: x509.NewCertPool()}); err == nil {
		t.Error("valid without the authority")
	}
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		name, addr string
		closed     bool
	}{{"silent", testpeer.SilentUDP(t), false}, {"closed", testpeer.ClosedUDP(t), true}} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.closed && runtime.GOOS != "linux" {
				t.Skip("only Linux is known to report closed UDP ports at once")
			}
			c, err := net.Dial("udp4", tc.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			limit := testpeer.Patience
			if !tc.closed {
				limit = 20 * time.Millisecond
			}
			_ = c.SetReadDeadline(time.Now().Add(limit))
			_, err = c.Read(make([]byte, 1))
			if tc.closed && !errors.Is(err, syscall.ECONNREFUSED) || !tc.closed && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWithin(t *testing.T) {
	ch := make(chan string, 1)
	ch <- "here"
	if got := testpeer.Within(t, "the value", ch); got != "here" {
		t.Errorf("%q", got)
	}
}
