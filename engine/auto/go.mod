module github.com/godwit-go/godwit/engine/auto

go 1.26.0

require (
	github.com/godwit-go/godwit v0.0.0
	github.com/godwit-go/godwit/engine/http3 v0.0.0
)

require github.com/klauspost/compress v1.20.3 // indirect

require (
	github.com/google/go-cmp v0.7.0
	github.com/quic-go/qpack v0.6.0 // indirect
	github.com/quic-go/quic-go v0.65.0
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/godwit-go/godwit => ../..
	github.com/godwit-go/godwit/engine/http3 => ../http3
)
