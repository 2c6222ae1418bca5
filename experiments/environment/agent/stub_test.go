package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

func TestStubAnswersAndRecords(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{
		Name: "charge", Method: "POST", Path: "/charges/{id}", Status: 201,
		Headers: map[string]string{"X-Stub": "yes"},
		Body: `{"id":"{{.PathValue "id"}}","amount":{{.JSON.amount}},` +
			`"q":"{{.Query.Get "q"}}","h":"{{.Header.Get "X-H"}}","m":"{{.Method}} {{.Path}}"}`,
	}))
	d := a.Dependency("payments")
	http := client(t)
	for i := range 2 {
		req := request(t, "POST", "http://"+d.ProxyAddress()+"/charges/7?q=a", `{"amount":5}`)
		req.Header.Set("X-H", "b")
		req.Header.Set("X-Request-Id", fmt.Sprint("r", i))
		req.Header.Set("Idempotency-Key", "k")
		req.Header.Set("Authorization", "Bearer secret-token")
		resp, err := http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := `{"id":"7","amount":5,"q":"a","h":"b","m":"POST /charges/7"}`
		if string(body) != want || resp.StatusCode != 201 || resp.Header.Get("X-Stub") != "yes" {
			t.Fatalf("got %s %s", resp.Status, body)
		}
	}
	flush(t, a)
	got := calls(rec)
	if len(got) != 2 {
		t.Fatalf("%d calls recorded, want 2", len(got))
	}
	for i := range got {
		if got[i].Answered <= 0 || got[i].Answered > 5*time.Second {
			t.Errorf("answered after %v", got[i].Answered)
		}
		got[i].Answered = 0
	}
	want := journal.Call{
		Method: "POST", Path: "/charges/7", Route: "charge", RequestID: "r1", IdempotencyKey: "k",
		BodyBytes: 12, BodyRead: true, Status: 201, Conn: 1, Nth: 2,
	}
	want.BodyHash, want.QueryHash = got[0].BodyHash, got[0].QueryHash
	if len(want.QueryHash) != 16 || strings.Contains(want.QueryHash, "q=a") {
		t.Errorf("query %q", want.QueryHash)
	}
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Error(diff)
	}
	if len(want.BodyHash) != 16 {
		t.Errorf("body hash %q has not 16 digits", want.BodyHash)
	}
	tally := lastTally(rec, "payments")
	if tally.Conns != 1 || tally.Open != 1 || tally.UpBytes < 200 || tally.DownBytes < 100 || tally.UpChunks < 2 {
		t.Errorf("tally %+v", tally)
	}
}

func TestClockAndSecrets(t *testing.T) {
	a, rec := start(t, stubConfig())
	before := rec.Now()
	req := request(t, "POST", "http://"+a.Dependency("payments").ProxyAddress()+"/x", "card 4111")
	req.Header.Set("Authorization", "Bearer secret-token")
	req.Header.Set("Cookie", "session=secret-token")
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	after := rec.Now()
	flush(t, a)
	var text strings.Builder
	for e := range rec.Entries() {
		b, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
		if e.Body.Kind() == "call" && (e.At < before.Add(-2*time.Millisecond) || e.At > after.Add(2*time.Millisecond)) {
			t.Errorf("a call made in [%v, %v] is recorded at %v", before, after, e.At)
		}
	}
	for _, secret := range []string{"secret-token", "4111"} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("the journal holds %q", secret)
		}
	}
	if !strings.Contains(text.String(), `"kind":"clock"`) {
		t.Error("no clock offset is recorded")
	}
}

func TestHangUpAndOpenCalls(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{Name: "slow", Path: "/slow", Latency: time.Minute}))
	url := "http://" + a.Dependency("payments").ProxyAddress() + "/slow"
	req := request(t, "POST", url, "body")
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan error, 1)
	go func() {
		resp, err := client(t).Do(req.WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		asked <- err
	}()
	waitFor(t, func() bool { return lastTally(rec, "payments").UpBytes > 0 })
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	waitFor(t, func() bool { return len(calls(rec)) == 1 })
	took := time.Since(began)
	held := dial(t, a.Dependency("payments").ProxyAddress())
	defer held.Close()
	fmt.Fprintf(held, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, func() bool { flush(t, a); return len(calls(rec)) == 2 })
	left, open := calls(rec)[0], calls(rec)[1]
	if left.Method != "POST" || !left.HungUp || left.HungUpAfter < 20*time.Millisecond || left.HungUpAfter > took {
		t.Errorf("the hang-up was not seen within %v: %+v", took, left)
	}
	if open.Method != "GET" || !open.Open || open.Age <= 0 || open.HungUp {
		t.Errorf("the call under way is not open: %+v", open)
	}
	for _, c := range []journal.Call{left, open} {
		if c.Answered != 0 || c.Status != 0 {
			t.Errorf("nothing was answered: %+v", c)
		}
	}
}

// A call that is held until its fault is taken back is cut off: neither side
// ended it, and its age says how long it was held.
func TestCutOffCallsHaveAnAge(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{Name: "a", Path: "/a"}))
	s, ok := a.Stub("payments")
	if !ok {
		t.Fatal("no stub")
	}
	if err := s.SetBehaviour(t.Context(), "x", faults.Behaviour{Hang: true}); err != nil {
		t.Fatal(err)
	}
	held := dial(t, s.ProxyAddress())
	defer held.Close()
	fmt.Fprintf(held, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if err := s.ClearBehaviour(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { flush(t, a); return len(calls(rec)) == 1 })
	c := calls(rec)[0]
	if c.Age < 20*time.Millisecond || c.Age > 5*time.Second || c.Open || c.HungUp || c.Answered != 0 {
		t.Errorf("recorded as %+v", c)
	}
}

// Calls that are held until their fault is taken back may be answered then.
func TestHeldCallsAreAnswered(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{Name: "a", Path: "/a"}))
	s, ok := a.Stub("payments")
	if !ok {
		t.Fatal("no stub")
	}
	if err := s.SetBehaviour(t.Context(), "x", faults.Behaviour{Hang: true, Status: 503}); err != nil {
		t.Fatal(err)
	}
	held := []net.Conn{dial(t, s.ProxyAddress()), dial(t, s.ProxyAddress())}
	for _, c := range held {
		defer c.Close()
		fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if err := s.ClearBehaviour(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	for _, c := range held {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != 503 {
			t.Errorf("answered with %d", res.StatusCode)
		}
	}
	waitFor(t, func() bool { flush(t, a); return len(calls(rec)) == 2 })
	for _, c := range calls(rec) {
		if c.Status != 503 || c.Answered < 20*time.Millisecond || c.HungUp {
			t.Errorf("recorded as %+v", c)
		}
	}
}

// charge calls the payments stub with headers.
func charge(t *testing.T, a *agent.Agent, headers map[string]string) {
	t.Helper()
	req := request(t, "POST", "http://"+a.Dependency("payments").ProxyAddress()+"/charges", "{}")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A service may pass its ids on in other headers.
func TestStubRecordsHeadersByTheirNames(t *testing.T) {
	c := stubConfig(subject.Route{})
	c.Stubs[0].RequestID, c.Stubs[0].IdempotencyKey = "X-Correlation-Id", "X-Idem"
	a, rec := start(t, c)
	charge(t, a, map[string]string{
		"X-Request-Id": "other", "Idempotency-Key": "other", "x-correlation-id": "c1", "X-Idem": "k1",
	})
	flush(t, a)
	got := calls(rec)
	if len(got) != 1 || got[0].RequestID != "c1" || got[0].IdempotencyKey != "k1" {
		t.Errorf("recorded %+v", got)
	}
}

// Traces are taken down in every format, as they come.
func TestStubRecordsTraces(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{}))
	for _, headers := range []map[string]string{
		{"traceparent": "w"}, {"b3": "b"}, {"X-B3-TraceId": "t", "X-B3-SpanId": "s"}, {"uber-trace-id": "u"},
	} {
		charge(t, a, headers)
	}
	flush(t, a)
	var got [][3]string
	for _, c := range calls(rec) {
		got = append(got, [3]string{c.Traceparent, c.B3, c.UberTraceID})
	}
	want := [][3]string{{"w", "", ""}, {"", "b", ""}, {"", "t-s", ""}, {"", "", "u"}}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %q", got)
	}
}
