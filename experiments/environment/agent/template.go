package agent

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
)

// templateData is what a stub's body template sees of a request.
type templateData struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         string
	JSON         any // the decoded body; nil when it is not JSON
	request      *http.Request
}

// PathValue is a wildcard of the route's path.
func (d templateData) PathValue(name string) string { return d.request.PathValue(name) }

func newTemplateData(r *http.Request, body []byte) templateData {
	d := templateData{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(),
		Header: r.Header, Body: string(body), request: r,
	}
	if json.Unmarshal(body, &d.JSON) != nil {
		d.JSON = nil
	}
	return d
}

// ids draws version 4 UUIDs from a seed.
type ids struct {
	mu   sync.Mutex
	rand *rand.ChaCha8
}

func newIDs(seed uint64) *ids {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return &ids{rand: rand.NewChaCha8(key)}
}

func (g *ids) uuid() (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b [16]byte
	if _, err := g.rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}
