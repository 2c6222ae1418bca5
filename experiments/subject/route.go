package subject

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/template"
)

// ParseBody parses the body template of a stub's route. Besides what templates
// have by themselves it may call uuid and json; who only checks a body gives no
// uuid.
func ParseBody(text string, uuid func() (string, error)) (*template.Template, error) {
	if uuid == nil {
		uuid = func() (string, error) { return "", nil }
	}
	t, err := template.New("body").Funcs(template.FuncMap{"uuid": uuid, "json": toJSON}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("body template: %s", strings.TrimPrefix(err.Error(), "template: body:1: "))
	}
	return t, nil
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// Pattern is the route as [http.ServeMux] knows it.
func (r Route) Pattern() string {
	path := r.Path
	if path == "" {
		path = "/"
	}
	if r.Method == "" {
		return path
	}
	return r.Method + " " + path
}

// Handle registers a handler for the route. A pattern that is bad, or is there
// already, is an error.
func (r Route) Handle(mux *http.ServeMux, h http.Handler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	mux.Handle(r.Pattern(), h)
	return nil
}
