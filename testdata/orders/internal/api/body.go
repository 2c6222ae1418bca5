package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
)

// maxBody is the largest request body accepted.
const maxBody = 64 << 10

// withBody reads the whole body, bounded, before the request takes up one of
// the replica's places: a slow sender holds up nobody but himself. The server's
// read timeout bounds how long it may take.
func withBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			refuse(w, r, http.StatusUnsupportedMediaType, "Content-Type: want application/json")
			return
		}
		if r.Header.Get("Content-Encoding") != "" {
			refuse(w, r, http.StatusUnsupportedMediaType, "Content-Encoding: want none")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			refuse(w, r, http.StatusRequestEntityTooLarge, "body: at most 64 KiB")
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			refuse(w, r, http.StatusRequestTimeout, "body: came too slowly")
			return
		case err != nil:
			refuse(w, r, http.StatusBadRequest, "body: incomplete")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// decode reads exactly one JSON value without unknown fields.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New("body: not the JSON that was expected, or a field that is not known")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("body: more than one JSON value")
	}
	return nil
}
