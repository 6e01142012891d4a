package godwit_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

// The overhead of the client alone: a mock engine, a buffered body of 100 bytes.

func overheadClient(b *testing.B, interceptors int) *godwit.Client {
	b.Helper()
	answer := mock.Bytes(200, "text/plain", bytes.Repeat([]byte("x"), 100))
	opts := []godwit.ClientOption{godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(answer)}, NoHistory: true})}
	for i := range interceptors {
		at := []godwit.SendPhase{godwit.SendRetry, godwit.SendAttempt, godwit.SendMonitoring, godwit.SendReceive}[i%4]
		opts = append(opts, godwit.Intercept(at, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			return next(ctx, req)
		}))
	}
	c := godwit.New(opts...)
	b.Cleanup(func() { c.Close() })
	if err := c.Err(); err != nil {
		b.Fatal(err)
	}
	return c
}

func BenchmarkDo(b *testing.B) {
	c := overheadClient(b, 10)
	req := godwit.NewRequest("GET", "http://example.org/")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Do(b.Context(), req)
		if err != nil || len(resp.Bytes()) != 100 {
			b.Fatal(err)
		}
	}
}

func BenchmarkDoBackground(b *testing.B) {
	c := overheadClient(b, 10)
	req := godwit.NewRequest("GET", "http://example.org/")
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Do(context.Background(), req)
		if err != nil || len(resp.Bytes()) != 100 {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetWithTimeout(b *testing.B) {
	c := overheadClient(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		body, err := godwit.Get[[]byte](context.Background(), c, "http://example.org/", godwit.Timeout(time.Second))
		if err != nil || len(body) != 100 {
			b.Fatal(err)
		}
	}
}

// TestOverhead holds the allocations that the benchmarks show. A Call just fits
// into 1,024 bytes.
func TestOverhead(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, row := range []struct {
		name           string
		objects, bytes int64 // at most
		bench          func(*testing.B)
	}{
		{"Do", 6, 1700, BenchmarkDoBackground},
		{"Get with timeout", 12, 1950, BenchmarkGetWithTimeout},
	} {
		got := testing.Benchmark(row.bench)
		if got.AllocsPerOp() > row.objects || got.AllocedBytesPerOp() > row.bytes {
			t.Errorf("%s: %d allocations of %d bytes, the limits are %d and %d", row.name, got.AllocsPerOp(), got.AllocedBytesPerOp(), row.objects, row.bytes)
		}
	}
}
