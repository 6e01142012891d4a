package tour

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
)

// What the form carries; the server compares every part with these bytes.
const (
	formUser     = "Ada"
	formPassword = `p"ss & "wörd"`
	formFilename = "flight path.bin"
)

// formFile is a megabyte in which every byte value occurs.
var formFile = payload(1 << 20)

var uploadCode = []string{
	`form := content.Multipart(`,
	`	content.Field("user", formUser),`,
	`	content.Field("password", formPassword),`,
	`	content.DataPart("file", formFilename, content.Bytes(formFile, "application/octet-stream")),`,
	`)`,
	`receipt, err := godwit.Post[Receipt](ctx, c, "/upload", form)`,
}

// Receipt is what the server says about an upload whose every part is right.
type Receipt struct {
	Parts  []string `json:"parts"`
	SHA256 string   `json:"sha256"` // of the file
}

// upload sends a form as a browser does. It is streamed part by part; take
// content.FilePart for a file on disk.
func upload(ctx context.Context, c *godwit.Client) (string, error) {
	form := content.Multipart(
		content.Field("user", formUser),
		content.Field("password", formPassword),
		content.DataPart("file", formFilename, content.Bytes(formFile, "application/octet-stream")),
	)
	receipt, err := godwit.Post[Receipt](ctx, c, "/upload", form)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(formFile)
	if want := hex.EncodeToString(sum[:]); receipt.SHA256 != want {
		return "", differs("the SHA-256 of the uploaded file", receipt.SHA256, want)
	}
	return fmt.Sprintf("the server compared the parts %v with what was meant: no byte differs", receipt.Parts), nil
}
