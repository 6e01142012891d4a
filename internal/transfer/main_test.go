package transfer_test

import (
	"testing"

	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }
