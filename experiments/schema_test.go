package experiments

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/experiments/yamlfile/yamlfiletest"
)

// TestComments holds the embedded doc comments against the source. -update
// writes them.
func TestComments(t *testing.T) {
	t.Chdir("..")
	const module = "github.com/seatrial/seatrial"
	const own = module + "/experiments."
	want, err := yamlfile.DocComments(module, []string{"experiments", "faults"}, append([]string{
		module + "/faults.", module + "/experiments/detect.",
		own + "Experiment", own + "SteadyState", own + "Load", own + "Step", own + "Expectation",
	}, paramTypes()...))
	if err != nil {
		t.Fatal(err)
	}
	yamlfiletest.Comments(t, "experiments/comments.json", want, *update)
}

func paramTypes() []string {
	var names []string
	for _, class := range []string{ClassOperation, ClassProbe} {
		for _, kind := range ActionKinds(class) {
			_, params, _ := newAction(class, kind)
			names = append(names, fullName(params))
		}
	}
	return names
}

func TestSchemaTakesTheCatalogue(t *testing.T) {
	s := yamlfiletest.Compile(t, Schema())
	files, err := filepath.Glob("catalogue/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(t, b); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := s.Validate(t, []byte(sampleExperiment)); err != nil {
		t.Error(err)
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	s := yamlfiletest.Compile(t, Schema())
	for name, text := range map[string]string{
		"unknown key":       step("{nam: x, probe: hold_connections}"),
		"unknown kind":      step("{operation: atack}"),
		"unknown parameter": step("{operation: {attack: {rat: 1}}}"),
		"two actions":       step("{probe: hold_connections, operation: rolling_restart}"),
		"no action":         step("{at: 1s}"),
		"two kinds":         step("{operation: {attack: {rate: 1}, scale: {to: 2}}}"),
		"bad duration":      step("{at: 1, probe: hold_connections}"),
		"no title":          "version: 1\nname: x\nexpect: [success]\n",
		"unknown detector":  "version: 1\nname: x\ntitle: X\nexpect: [succes]\n",
		"bad only":          "version: 1\nname: x\ntitle: X\nexpect: [{success: {}, only: sometimes}]\n",
		"bad shape":         "version: 1\nname: x\ntitle: X\nload: {shape: round}\nexpect: [success]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode("e.yaml", []byte(text)); err == nil {
				t.Error("the decoder takes it")
			}
			if err := s.Validate(t, []byte(text)); err == nil {
				t.Error("the schema takes it")
			}
		})
	}
}

// TestReference holds docs/reference.md against the source. -update writes it.
func TestReference(t *testing.T) {
	got := Reference()
	for _, want := range []string{"## Faults", "### latency", "### jitter", "answers_within", "| ratio |"} {
		if !strings.Contains(got, want) {
			t.Errorf("the reference does not hold %q", want)
		}
	}
	for _, row := range meaningless(got) {
		t.Errorf("a key without a sentence of its own: %s", row)
	}
	golden(t, "../docs/reference.md", got)
}

// meaningless are the rows of tables of keys that end without a sentence.
func meaningless(reference string) (rows []string) {
	for line := range strings.Lines(reference) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		meaning := strings.TrimSuffix(cells[len(cells)-1], " |")
		if len(cells) > 1 && cells[len(cells)-1] != "meaning |" && !wholeSentence.MatchString(meaning) {
			rows = append(rows, line)
		}
	}
	return rows
}

var wholeSentence = regexp.MustCompile(`^[A-Z].*[.)]$`)

func TestMeaningless(t *testing.T) {
	for row, want := range map[string]int{
		"| key | value | meaning |\n|---|---|---|": 0,
		"| to | number | To is a rate. |":          0,
		"| to | number |  |":                       1,
		"| to | number | default 1 |":              1,
		"Text \\| with a bar.":                     0,
	} {
		if got := meaningless(row + "\n"); len(got) != want {
			t.Errorf("%q: %q", row, got)
		}
	}
}
