package sdktest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func TestS3(t *testing.T) {
	var parts atomic.Int32
	fake := gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			parts.Add(1)
		}
		fake.ServeHTTP(w, r)
	}))
	random := rand.NewChaCha8([32]byte{})
	data := make([]byte, 11<<20)
	random.Read(data)
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		bucket := aws.String("bucket-" + t.Name()[len("TestS3/"):])
		client := s3.New(s3.Options{
			BaseEndpoint: &s.URL, UsePathStyle: true, Region: "eu-central-1", HTTPClient: hc,
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		})
		if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
			t.Fatal(err)
		}
		parts.Store(0)
		up := manager.NewUploader(client, func(u *manager.Uploader) { u.PartSize = manager.MinUploadPartSize })
		// A reader that cannot seek, so that the manager does the buffering.
		if _, err := up.Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("big"), Body: io.MultiReader(bytes.NewReader(data))}); err != nil {
			t.Fatal(err)
		}
		if parts.Load() != 3 {
			t.Errorf("%d parts, want 3", parts.Load())
		}
		got := manager.NewWriteAtBuffer(nil)
		down := manager.NewDownloader(client, func(d *manager.Downloader) { d.PartSize = 4 << 20 })
		if _, err := down.Download(ctx, got, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("big")}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%d bytes came back changed", len(got.Bytes()))
		}
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("a b/ü"), Body: bytes.NewReader([]byte("small"))}); err != nil {
			t.Fatal(err)
		}
		list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
		if err != nil || len(list.Contents) != 2 || *list.Contents[0].Key != "a b/ü" {
			t.Errorf("list %+v, %v", list, err)
		}
		_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("missing")})
		var missing *types.NoSuchKey
		if !errors.As(err, &missing) {
			t.Errorf("a missing key: %v", err)
		}
		if _, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("big")}); err != nil {
			t.Error(err)
		}
	})
}
