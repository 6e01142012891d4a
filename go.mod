module github.com/godwit-go/godwit

go 1.26
