package sdktest_test

import (
	"context"

	"connectrpc.com/connect"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-github/v74/github"
	docker "github.com/moby/moby/client"
	"github.com/openai/openai-go/v2"
	"github.com/openai/openai-go/v2/option"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/stdhttp"
)

func Example_github() {
	c := godwit.New(godwit.Install(retry.New(retry.Config{})))
	defer c.Close()
	gh := github.NewClient(stdhttp.Client(c))

	gh.Zen(context.Background())
}

func Example_aws() {
	ctx := context.Background()
	c := godwit.New()
	defer c.Close()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(stdhttp.Client(c)))
	if err != nil {
		return
	}
	buckets := s3.NewFromConfig(cfg)

	buckets.ListBuckets(ctx, nil)
}

func Example_containerRegistry() {
	c := godwit.New()
	defer c.Close()
	image, err := remote.Image(name.MustParseReference("alpine"), remote.WithTransport(stdhttp.Transport(c)))

	_, _ = image, err
}

func Example_connect() {
	c := godwit.New(godwit.WithEngine(nethttp.Config{})) // an engine with HTTP/2
	defer c.Close()
	echo := connect.NewClient[text, text](stdhttp.Client(c), "https://api.example.org/test.Echo/Unary", connect.WithGRPC())

	echo.CallUnary(context.Background(), connect.NewRequest(wrapperspb.String("hello")))
}

func Example_oauth2() {
	c := godwit.New()
	defer c.Close()
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, stdhttp.Client(c))
	machine := clientcredentials.Config{ClientID: "id", ClientSecret: "secret", TokenURL: "https://id.example.org/token"}

	machine.Client(ctx).Get("https://api.example.org/")
}

func Example_openAI() {
	c := godwit.New()
	defer c.Close()
	ai := openai.NewClient(option.WithHTTPClient(stdhttp.Client(c)))

	ai.Models.List(context.Background())
}

func Example_docker() {
	c := godwit.New()
	defer c.Close()
	daemon, err := docker.New(docker.WithHost("unix:///var/run/docker.sock"), docker.WithHTTPClient(stdhttp.Client(c)))
	if err != nil {
		return
	}
	daemon.ContainerList(context.Background(), docker.ContainerListOptions{})
}

func Example_kubernetes() {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return
	}
	trust, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return
	}
	c := godwit.New(godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
	defer c.Close()
	hc := stdhttp.Client(c)
	hc.Transport, err = rest.HTTPWrappersForConfig(cfg, hc.Transport) // its tokens
	if err != nil {
		return
	}
	client, err := dynamic.NewForConfigAndClient(cfg, hc)

	_, _ = client, err
}
