package sdktest_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

func TestKubernetesWatch(t *testing.T) {
	next := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/default/pods", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			fmt.Fprint(w, `{"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p0"}}]}`)
			return
		}
		for i, kind := range []string{"ADDED", "MODIFIED", "DELETED"} {
			fmt.Fprintf(w, `{"type": %q, "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p%d"}}}`+"\n", kind, i)
			w.(http.Flusher).Flush()
			select { // the next event comes when the one before was seen
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
		<-r.Context().Done()
	})
	s := serve(t, mux)
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		c, err := dynamic.NewForConfigAndClient(&rest.Config{Host: s.URL}, hc)
		if err != nil {
			t.Fatal(err)
		}
		pods := c.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace("default")
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 || list.Items[0].GetName() != "p0" {
			t.Fatalf("List: %v, %v", list, err)
		}
		w, err := pods.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
			e, open := <-w.ResultChan()
			if !open || e.Type != want {
				t.Fatalf("event %v, want %v", e, want)
			}
			next <- struct{}{}
		}
		w.Stop()
		for range w.ResultChan() {
			t.Error("an event after Stop")
		}
		if _, err := pods.Get(ctx, "missing", metav1.GetOptions{}); err == nil {
			t.Error("a pod that is missing was found")
		}
	})
}
