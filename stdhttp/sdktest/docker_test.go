package sdktest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/moby/moby/client"
)

// daemon is a little of Docker's API.
func daemon() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", client.MaxAPIVersion)
		w.Header().Set("Ostype", "linux")
	})
	mux.HandleFunc("GET /{version}/containers/json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"Id": "c1", "Image": "%s all=%s"}]`, r.Host, r.URL.Query().Get("all"))
	})
	mux.HandleFunc("POST /{version}/images/create", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for _, status := range []string{"Pulling", "Extracting", "Done"} {
			fmt.Fprintf(w, "{\"status\": %q}\n", status)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("GET /{version}/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"Type": "container", "Action": "start"}`+"\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // events come as long as the client listens
	})
	mux.HandleFunc("PUT /{version}/containers/{id}/archive", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n != 1<<20 {
			http.Error(w, fmt.Sprint(n, " bytes"), http.StatusBadRequest)
		}
	})
	return mux
}

func TestDocker(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: daemon()}}
	s.Start()
	t.Cleanup(s.Close)
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		docker, err := client.New(client.WithHost("unix://"+socket), client.WithHTTPClient(hc))
		if err != nil {
			t.Fatal(err)
		}
		defer docker.Close()
		ping, err := docker.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
		if err != nil || ping.OSType != "linux" {
			t.Fatalf("Ping: %+v, %v", ping, err)
		}
		list, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true})
		if err != nil || len(list.Items) != 1 || list.Items[0].Image != client.DummyHost+" all=1" {
			t.Errorf("ContainerList: %+v, %v", list, err)
		}
		pull, err := docker.ImagePull(ctx, "image", client.ImagePullOptions{})
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for m, err := range pull.JSONMessages(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			last = m.Status
		}
		pull.Close()
		if last != "Done" {
			t.Errorf("ImagePull ended with %q", last)
		}
		_, err = docker.CopyToContainer(ctx, "c1", client.CopyToContainerOptions{DestinationPath: "/", Content: io.LimitReader(zeros{}, 1<<20)})
		if err != nil {
			t.Errorf("CopyToContainer: %v", err)
		}
		listening, stop := context.WithCancel(ctx)
		events := docker.Events(listening, client.EventsListOptions{})
		select {
		case e := <-events.Messages:
			if e.Action != "start" {
				t.Errorf("event %+v", e)
			}
		case err := <-events.Err:
			t.Errorf("Events: %v", err)
		}
		stop()
		if err := <-events.Err; err != context.Canceled {
			t.Errorf("Events' end: %v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
