module github.com/godwit-go/godwit/plugins/negotiate/protobuf

go 1.26.0

require (
	github.com/godwit-go/godwit v0.0.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/godwit-go/godwit => ../../..
