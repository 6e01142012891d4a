package sdktest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-github/v74/github"
)

// githubAPI is a little of GitHub's.
func githubAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/{owner}/{repo}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", "4999")
		fmt.Fprintf(w, `{"id": 1, "full_name": "%s/%s"}`, r.PathValue("owner"), r.PathValue("repo"))
	})
	mux.HandleFunc("GET /repos/{owner}/{repo}/issues", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") != "2" {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=2>; rel="next"`, r.Host, r.URL.Path))
			fmt.Fprint(w, `[{"number": 1}, {"number": 2}]`)
			return
		}
		fmt.Fprint(w, `[{"number": 3}]`)
	})
	mux.HandleFunc("POST /repos/{owner}/{repo}/issues", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"message": "Bad credentials"}`)
			return
		}
		var in struct{ Title string }
		json.NewDecoder(r.Body).Decode(&in)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"number": 4, "title": %q}`, in.Title)
	})
	mux.HandleFunc("DELETE /repos/{owner}/{repo}/subscription", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func TestGitHub(t *testing.T) {
	s := serve(t, githubAPI())
	onEngines(t, s, func(t *testing.T, ctx context.Context, hc *http.Client) {
		gh := github.NewClient(hc)
		gh.BaseURL, _ = url.Parse(s.URL + "/")
		repo, resp, err := gh.Repositories.Get(ctx, "godwit-go", "godwit")
		if err != nil || repo.GetFullName() != "godwit-go/godwit" || resp.Rate.Remaining != 4999 {
			t.Errorf("Get: %v, %v", repo, err)
		}
		var numbers []int
		for opts := (&github.IssueListByRepoOptions{}); ; {
			issues, resp, err := gh.Issues.ListByRepo(ctx, "a", "b", opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range issues {
				numbers = append(numbers, i.GetNumber())
			}
			if resp.NextPage == 0 {
				break
			}
			opts.ListOptions.Page = resp.NextPage
		}
		if fmt.Sprint(numbers) != "[1 2 3]" {
			t.Errorf("issues %v", numbers)
		}
		_, _, err = gh.Issues.Create(ctx, "a", "b", &github.IssueRequest{Title: github.Ptr("t")})
		if e, ok := err.(*github.ErrorResponse); !ok || e.Response.StatusCode != 401 || e.Message != "Bad credentials" {
			t.Errorf("Create without a token: %v", err)
		}
		auth := gh.WithAuthToken("secret")
		auth.BaseURL = gh.BaseURL
		issue, _, err := auth.Issues.Create(ctx, "a", "b", &github.IssueRequest{Title: github.Ptr("hello")})
		if err != nil || issue.GetTitle() != "hello" {
			t.Errorf("Create: %v, %v", issue, err)
		}
		if _, err := gh.Activity.DeleteRepositorySubscription(ctx, "a", "b"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	})
}
