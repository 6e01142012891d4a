package enginetest

import (
	"testing"

	"github.com/godwit-go/godwit/engine"
)

// RunHTTP2 runs the tests about HTTP/2 on the wire as subtests "HTTP2/Name" of
// t: against servers that send exact frames, well-behaved and hostile ones, over
// TLS. The engine must offer h2 by ALPN in its default settings. [Run] leaves
// them out, since an engine on another's HTTP/2 can do little about it.
func RunHTTP2(t *testing.T, factory engine.Factory, opts ...Option) {
	s := &suite{factory: factory, skips: make(map[string]string)}
	for _, opt := range opts {
		opt(s)
	}
	known := make(map[string]bool)
	tests := http2Tests()
	for _, tt := range tests {
		known["HTTP2/"+tt.name] = true
	}
	for name := range s.skips {
		if !known[name] {
			t.Fatalf("enginetest: Skip(%q): there is no such test", name)
		}
	}
	s.inspect(t)
	if !s.caps.Has(engine.HTTP2) {
		t.Fatal("enginetest: the engine has no HTTP/2")
	}
	t.Run("HTTP2", func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) { s.runOne(t, "HTTP2", tt) })
		}
	})
}

func http2Tests() []test {
	tests := []test{
		{name: "RequestHead", run: h2RequestHead},
		{name: "Settings", run: h2Settings},
		{name: "Padding", run: h2Padding},
		{name: "UnknownFramesAreIgnored", run: h2Unknown},
		{name: "PingIsAnswered", run: h2Ping},
		{name: "Trailers", needs: engine.RequestTrailers | engine.ResponseTrailers, run: h2Trailers},
		{name: "TrailersBeyondTheServersLimit", needs: engine.RequestTrailers, run: h2TrailerLimit},
		{name: "LargeHeads", run: h2LargeHeads},
		{name: "OneConnection", run: h2OneConnection},
		{name: "MaxConcurrentStreams", run: h2MaxStreams},
		{name: "SendWindow", run: h2SendWindow},
		{name: "InitialWindowChanges", run: h2InitialWindow},
		{name: "SlowReader", run: h2SlowReader},
		{name: "CancelKeepsConnection", run: h2Cancel},
		{name: "GoAwayRetried", run: h2GoAway},
		{name: "GoAwayLetsStreamsEnd", run: h2GoAwayGraceful},
		{name: "GoAwayNotReplayable", run: h2GoAwayOnce},
		{name: "GoAwayForEver", run: h2GoAwayAlways},
		{name: "GoAwayTwice", run: h2GoAwayTwice},
		{name: "GoAwayReason", run: h2GoAwayReason},
		{name: "HTTP11Required", run: h2Requires1},
		{name: "RefusedRetried", run: h2Refused},
		{name: "RefusedForEver", run: h2RefusedAlways},
		{name: "RefusedNoStaleRetry", needs: engine.NoStaleRetry, run: h2RefusedNoRetry},
		{name: "RefusedAfterTheAnswer", run: h2RefusedLate},
		{name: "ResetInBody", run: h2ResetBody},
		{name: "EarlyResponseThenNoError", needs: engine.Duplex, run: h2EarlyResponse},
		{name: "Interim", needs: engine.Informational, run: h2Interim},
		{name: "ExpectContinue", needs: engine.ExpectContinue, run: h2Expect},
		{name: "ExtendedConnect", needs: engine.Upgrade, run: h2ExtendedConnect},
		{name: "TunnelHead", needs: engine.Upgrade, run: h2TunnelHead},
		{name: "TunnelStalls", needs: engine.Upgrade, run: h2TunnelStalls},
		{name: "StalledServerDeadline", needs: engine.RequestTimeout, run: h2StalledServer},
		{name: "BlockedWriteDeadline", needs: engine.RequestTimeout | engine.CustomDial, run: h2BlockedWrite},
	}
	return append(tests, hostileTests()...)
}
