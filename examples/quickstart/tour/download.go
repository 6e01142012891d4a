package tour

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/godwit-go/godwit"
)

var downloadCode = []string{
	`req := godwit.NewRequest("GET", "/large", godwit.OnDownload(newBar().report))`,
	`err := c.Stream(ctx, req, func(resp *godwit.Response) error {`,
	`	_, err := io.Copy(hash, resp.Body)`,
	`	return err`,
	`})`,
}

// download streams 64 MiB into a hash; at no time are they in memory. The body is
// closed when the function returns, whatever happens in it.
func download(ctx context.Context, c *godwit.Client) (string, error) {
	hash := sha256.New()
	var digest string
	var size int64
	req := godwit.NewRequest("GET", "/large", godwit.OnDownload(newBar().report))
	err := c.Stream(ctx, req, func(resp *godwit.Response) error {
		digest, size = resp.Header.Get("Content-Digest"), resp.ContentLength
		_, err := io.Copy(hash, resp.Body)
		return err
	})
	if err != nil {
		return "", err
	}
	if got := "sha-256=:" + base64.StdEncoding.EncodeToString(hash.Sum(nil)) + ":"; got != digest || size != largeSize {
		return "", differs("the digest", got, digest)
	}
	return fmt.Sprintf("%d MiB whose digest is what the server announced:\n%s", size>>20, digest), nil
}
