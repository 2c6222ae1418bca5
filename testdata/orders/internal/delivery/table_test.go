package delivery

import (
	"bytes"
	"encoding/csv"
	"errors"
	"testing"
)

func TestWriteTable(t *testing.T) {
	var b bytes.Buffer
	if err := WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() < 9<<20 {
		t.Errorf("%d bytes: too few to try a slow reader with", b.Len())
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(rows), 1+postcodes*len(services); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
	if got := rows[len(rows)-1]; got[0] != "99999" || got[3] != "8" || got[4] != "5245" {
		t.Errorf("last row is %v", got)
	}
}

type full struct{ written int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	f.written += len(p)
	return 0, errFull
}

func TestWriteTableStopsAtAnError(t *testing.T) {
	f := &full{}
	if err := WriteTable(f); !errors.Is(err, errFull) || f.written > 64<<10 {
		t.Errorf("got %v after %d bytes", err, f.written)
	}
}
