package sdktest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/openai/openai-go/v2"
	"github.com/openai/openai-go/v2/option"
)

func TestOpenAI(t *testing.T) {
	var tries atomic.Int32
	release := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer key" || !strings.Contains(string(b), `"stream":true`) {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		if tries.Add(1) == 1 { // the SDK tries again by itself, with the same body
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range []string{"Hello", ", ", "world"} {
			fmt.Fprintf(w, "data: {\"id\": \"1\", \"object\": \"chat.completion.chunk\", \"choices\": [{\"index\": 0, \"delta\": {\"content\": %q}}]}\n\n", word)
			w.(http.Flusher).Flush()
			select { // the next event comes when the one before was seen
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	})
	s := serve(t, mux)
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		tries.Store(0)
		c := openai.NewClient(option.WithHTTPClient(hc), option.WithBaseURL(s.URL+"/v1/"), option.WithAPIKey("key"))
		stream := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
			Model: "test", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
		})
		defer stream.Close()
		var words []string
		for stream.Next() {
			words = append(words, stream.Current().Choices[0].Delta.Content)
			release <- struct{}{}
		}
		if err := stream.Err(); err != nil {
			t.Error(err)
		}
		if got := strings.Join(words, "|"); got != "Hello|, |world" || tries.Load() != 2 {
			t.Errorf("stream %q after %d tries", got, tries.Load())
		}
	})
}
