module github.com/godwit-go/godwit/plugins/negotiate/cbor

go 1.26.0

require (
	github.com/fxamacker/cbor/v2 v2.9.6
	github.com/godwit-go/godwit v0.0.0
	github.com/google/go-cmp v0.7.0
)

require (
	github.com/x448/float16 v0.8.4 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/godwit-go/godwit => ../../..
