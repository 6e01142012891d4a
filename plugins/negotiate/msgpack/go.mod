module github.com/godwit-go/godwit/plugins/negotiate/msgpack

go 1.26.0

require (
	github.com/godwit-go/godwit v0.0.0
	github.com/google/go-cmp v0.7.0
	github.com/vmihailenco/msgpack/v5 v5.4.1
)

require (
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/godwit-go/godwit => ../../..
