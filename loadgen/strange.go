package loadgen

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// strangely makes a request one that no service has been asked before: by the
// hit's number with a path, a method or a host that is not known, or with an id
// that is not there, and each with a query and a user agent of its own.
func strangely(req *http.Request, seq uint64) {
	word := "strange-" + strconv.FormatUint(seq*0x9e3779b97f4a7c15>>32, 36)
	to := *req.URL
	switch seq % 4 {
	case 0:
		to.Path = "/" + word + to.Path
	case 1:
		req.Method = strings.ToUpper(word)
	case 2:
		req.Host = word + ".example"
	default:
		to.Path = path.Join(path.Dir("/"+strings.Trim(to.Path, "/")), word)
	}
	query := to.Query()
	query.Set("strange", word)
	to.RawPath, to.RawQuery = "", query.Encode()
	req.URL = new(url.URL)
	*req.URL = to
	req.Header["User-Agent"] = []string{word}
}

// breakTrace sets a trace's header that its format calls invalid, in one of
// several ways by the hit's number; as far as there is room in it, it holds the
// trace id that the hit would have had.
func breakTrace(header http.Header, format journal.TraceFormat, trace, span string, seq uint64) {
	if format == journal.TraceW3C {
		header["Traceparent"] = []string{brokenTraceparent(trace, span, seq)}
		return
	}
	switch seq % 5 {
	case 0:
		trace = strings.Repeat("0", len(trace))
	case 1:
		span = strings.Repeat("0", len(span))
	case 2:
		trace = trace[:len(trace)-1] + "g"
	case 3:
		trace = strings.Repeat(trace, 3)
	default:
		trace = "no id but " + trace
	}
	format.Set(header, trace, span)
}

// brokenTraceparent is a traceparent that W3C Trace Context calls invalid, in one
// of six ways.
func brokenTraceparent(trace, span string, seq uint64) string {
	version := "00"
	switch seq % 6 {
	case 0:
		version = "ff"
	case 1:
		trace = strings.Repeat("0", 32)
	case 2:
		span = strings.Repeat("0", 16)
	case 3:
		trace = strings.ToUpper(trace[:31]) + "F"
	case 4:
		trace = trace[:31]
	default:
		return "not a traceparent but " + trace
	}
	return strings.Join([]string{version, trace, span, "01"}, "-")
}
