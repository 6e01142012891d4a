module github.com/godwit-go/godwit/plugins/auth/oauth2

go 1.26.0

require (
	github.com/godwit-go/godwit v0.0.0
	golang.org/x/oauth2 v0.37.0
)

require (
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/godwit-go/godwit => ../../..
