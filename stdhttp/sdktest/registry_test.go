package sdktest_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestContainerRegistry(t *testing.T) {
	s := serve(t, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	image, err := random.Image(256<<10, 3)
	if err != nil {
		t.Fatal(err)
	}
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/some/image:" + strings.ToLower(t.Name()[len("TestContainerRegistry/"):]))
		if err != nil {
			t.Fatal(err)
		}
		options := []remote.Option{remote.WithTransport(hc.Transport), remote.WithContext(ctx)}
		if err := remote.Write(ref, image, options...); err != nil {
			t.Fatal(err)
		}
		back, err := remote.Image(ref, options...)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(back); err != nil { // reads and hashes every layer
			t.Error(err)
		}
		want, _ := image.Digest()
		if got, err := back.Digest(); err != nil || got != want {
			t.Errorf("digest %v, %v; want %v", got, err, want)
		}
		tags, err := remote.List(ref.Context(), options...)
		if err != nil || len(tags) == 0 {
			t.Errorf("tags %v, %v", tags, err)
		}
		if _, err := remote.Head(ref.Context().Tag("missing"), options...); err == nil {
			t.Error("a missing tag was found")
		}
	})
}
