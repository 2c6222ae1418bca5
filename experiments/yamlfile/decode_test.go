package yamlfile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Wait time.Duration     `yaml:"wait"`
	Tags map[string]string `yaml:"tags"`
}

type outer struct {
	Name  string  `yaml:"name"`
	List  []inner `yaml:"list"`
	One   *inner  `yaml:"one"`
	Size  uint8   `yaml:"size"`
	Share float64 `yaml:"share"`
	On    bool    `yaml:"on"`
}

func decode(t *testing.T, text string) (outer, error) {
	t.Helper()
	d, err := Parse("f.yaml", []byte(text))
	if err != nil {
		return outer{}, err
	}
	var o outer
	d.Decode(&o)
	return o, d.Err()
}

func TestDecode(t *testing.T) {
	got, err := decode(t, `
name: |
  two
  lines
list:
  - &first {wait: 1m30s, tags: {port: 8080, on: true, text: "x"}}
  - {<<: *first, wait: 0}
  - *first
one: {wait: 5ms}
size: 0x1f
share: 1e-3
on: true
`)
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{"port": "8080", "on": "true", "text": "x"}
	want := outer{
		Name: "two\nlines\n", Size: 31, Share: 0.001, On: true, One: &inner{Wait: 5 * time.Millisecond},
		List: []inner{{90 * time.Second, tags}, {0, tags}, {90 * time.Second, tags}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	bomb := "name: &a x\nlist:\n"
	for range 30 {
		bomb += "  - {tags: &t {a: *t}}\n"
	}
	for name, tt := range map[string]struct{ text, want string }{
		"empty":              {"", "f.yaml:1:1: the file is empty"},
		"two documents":      {"name: a\n---\nname: b\n", "f.yaml:3:1: a second document"},
		"no mapping":         {"- a\n", "the file holds a list"},
		"too large a number": {"size: 256\n", `f.yaml:1:7: found "256"; expected a whole number`},
		"not a number":       {"share: .inf\n", `found ".inf"; expected a number`},
		"yes for true":       {"on: yes\n", `found "yes"; expected true or false`},
		"no such anchor":     {"one: *x\n", "anchor"},
		"within itself":      {"list: &l [*l]\n", "found"},
		"many aliases":       {bomb, "found"},
		"text for a list":    {"list: x\n", `found "x"; expected a list`},
		"a list for a text":  {"name: [x]\n", "f.yaml:1:7: found a list; expected a text"},
		"tabs":               {"one:\n\twait: 1s\n", "not YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decode(t, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMistakesAreSortedAndToldOnce(t *testing.T) {
	_, err := decode(t, "shar: 1\nsize: x\nname: [1]\n")
	const want = `f.yaml:1:1: unknown key "shar"; expected share, size, list, name, on or one
    1 | shar: 1
      | ^
f.yaml:2:7: found "x"; expected a whole number, not below zero
    2 | size: x
      |       ^
f.yaml:3:7: found a list; expected a text
    3 | name: [1]
      |       ^`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSet(t *testing.T) {
	var o struct {
		One inner `yaml:"one"`
	}
	if err := Set(&o, "one.wait", "3s"); err != nil || o.One.Wait != 3*time.Second {
		t.Errorf("%v, %v", o, err)
	}
	for _, path := range []string{"two", "one.wait.more", "one.tags.x"} {
		if err := Set(&o, path, "3s"); err == nil {
			t.Errorf("%s was set", path)
		}
	}
}

// TestOddFiles reads what editors put before a file, and tells long texts in short.
func TestOddFiles(t *testing.T) {
	if v, err := decode(t, "\uFEFFname: x\n"); err != nil || v.Name != "x" {
		t.Errorf("a mark of UTF-8: %+v, %v", v, err)
	}
	_, err := decode(t, "size: "+strings.Repeat("é", 9000)+"\n")
	if err == nil || len(err.Error()) > 1500 || !strings.Contains(err.Error(), "…") {
		t.Errorf("a long text: %.2000v", err)
	}
}

// TestLike keeps slips, and nothing else.
func TestLike(t *testing.T) {
	choices := []string{"http-slow", "crash", "failover"}
	for word, want := range map[string]string{"http-slo": "http-slow", "crsh": "crash", "xyz-*": "", "": ""} {
		if got := strings.Join(Like(word, choices), ","); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
