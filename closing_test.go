package godwit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/engine/mock"
)

func ExampleClient_Closing() {
	c := godwit.New(godwit.WithEngine(mock.Config{}))
	go c.Close()
	select {
	case <-time.After(time.Hour): // the time of the next call
	case <-c.Closing():
		fmt.Println("there will be none")
	}
	// Output: there will be none
}

func ExampleClient_Attributes() {
	tenant := attr.NewKey[string]("tenant")
	c := godwit.New(godwit.WithEngine(mock.Config{}), godwit.Attribute(tenant, "north"))
	defer c.Close()
	all := c.Attributes()
	fmt.Println(tenant.Or(&all, "none"))
	// Output: north
}

// TestClosing: it ends with the client, and by a context that the client is bound
// to; a sibling's end is its own.
func TestClosing(t *testing.T) {
	closed := func(c *godwit.Client) bool {
		select {
		case <-c.Closing():
			return true
		default:
			return false
		}
	}
	c := godwit.New(godwit.WithEngine(mock.Config{}))
	sibling := c.With()
	if closed(c) || closed(sibling) {
		t.Error("closed from the start")
	}
	c.Close()
	c.Close()
	if !closed(c) || closed(sibling) {
		t.Errorf("after Close: %v, the sibling %v", closed(c), closed(sibling))
	}
	sibling.Close()
	if !closed(sibling) {
		t.Error("asked for after Close, it is open")
	}
	ctx, cancel := context.WithCancel(t.Context())
	bound := godwit.New(godwit.WithEngine(mock.Config{}), godwit.Bind(ctx))
	cancel()
	<-bound.Closing()
}

// TestAttributesAreACopy: what is done to them does not reach the client.
func TestAttributesAreACopy(t *testing.T) {
	key := attr.NewKey[int]("n")
	c := godwit.New(godwit.WithEngine(mock.Config{}), godwit.Attribute(key, 1))
	defer c.Close()
	all := c.Attributes()
	key.Set(&all, 2)
	if again := c.Attributes(); key.Or(&again, 0) != 1 {
		t.Errorf("%d", key.Or(&again, 0))
	}
}
