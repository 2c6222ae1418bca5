package docker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

const (
	// largestScanned bounds the files of a layer whose content is read.
	largestScanned = 64 << 20
	// mostSecrets bounds what is taken down.
	mostSecrets = 20
	// readWithin bounds the reading of all layers.
	readWithin = 25 * time.Second
)

// patterns are what secrets look like. A private key must have a body: programs
// hold the words of its first line. Where none of the signs is, the rule need not
// be tried.
var patterns = []struct {
	what  string
	rule  *regexp.Regexp
	signs []string
}{
	{
		"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64,}`),
		[]string{"PRIVATE KEY-----"},
	},
	{"an access key of AWS", regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`), []string{"AKIA"}},
	{
		"a token of GitHub", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{36}\b`),
		[]string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"},
	},
}

// names are files that hold secrets and nothing else.
var names = []string{".netrc", ".git-credentials", "id_rsa", "id_ed25519", "id_ecdsa", ".env", ".pgpass"}

// credential is what the name of an environment entry looks like that holds a
// secret.
var credential = regexp.MustCompile(`(?i)(password|passwd|secret|token|api_?key|private_?key)`)

// secretsIn looks for secrets in the image's environment entries and in all of
// its layers, also in what later ones remove.
func (e *Environment) secretsIn(ctx context.Context, image string, env []string) ([]journal.LayerSecret, error) {
	var found []journal.LayerSecret
	for _, entry := range env {
		if name, value, _ := strings.Cut(entry, "="); value != "" && credential.MatchString(name) {
			found = append(found, journal.LayerSecret{Path: "ENV " + name, What: "a value for " + name})
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readWithin, fmt.Errorf("they are not read after %v", readWithin))
	defer cancel()
	saved, err := e.engine.client.ImageSave(ctx, []string{image})
	if err != nil {
		return found, fmt.Errorf("read the layers of %s: %w", image, err)
	}
	defer saved.Close()
	s := &scanner{canaries: e.Subject.Secrets(), found: found}
	if err := s.image(saved); err != nil {
		return s.found, fmt.Errorf("read the layers of %s: %w", image, cmp.Or(context.Cause(ctx), err))
	}
	return s.found, nil
}

// scanner looks through the layers of a saved image.
type scanner struct {
	canaries []string // what must not be in it, whatever it looks like
	layer    int
	found    []journal.LayerSecret
}

// image reads a saved image: an archive in which the layers are archives, some
// of them compressed. Whatever else is in it is skipped.
func (s *scanner) image(r io.Reader) error {
	outer := tar.NewReader(r)
	for {
		h, err := outer.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		head := make([]byte, 512)
		n, err := io.ReadFull(outer, head)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return err
		}
		if err := s.member(head[:n], outer); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// member reads one file of the outer archive, if it is a layer.
func (s *scanner) member(head []byte, rest io.Reader) error {
	whole := io.MultiReader(bytes.NewReader(head), rest)
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(whole)
		if err != nil {
			return nil //nolint:nilerr // no layer
		}
		return s.archive(unzipped)
	}
	if len(head) < 265 || !bytes.HasPrefix(head[257:], []byte("ustar")) {
		return nil
	}
	return s.archive(whole)
}

func (s *scanner) archive(r io.Reader) error {
	s.layer++
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || strings.HasPrefix(path.Base(h.Name), ".wh.") {
			continue
		}
		if err := s.file("/"+h.Name, h.Size, in); err != nil {
			return err
		}
	}
}

func (s *scanner) file(name string, size int64, r io.Reader) error {
	if slices.Contains(names, path.Base(name)) && size > 0 {
		s.add(name, "what its name says")
		return nil
	}
	if size > largestScanned || trusted(name) {
		return nil
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		signed := func(sign string) bool { return bytes.Contains(content, []byte(sign)) }
		if slices.ContainsFunc(p.signs, signed) && p.rule.Match(content) {
			s.add(name, p.what)
		}
	}
	for _, c := range s.canaries {
		if len(c) >= 8 && bytes.Contains(content, []byte(c)) {
			s.add(name, "a secret of the subject file")
		}
	}
	return nil
}

// trusted reports whether a file holds certificates, which are public.
func trusted(name string) bool { return slices.Contains(bundles, name) }

func (s *scanner) add(file, what string) {
	if len(s.found) < mostSecrets {
		s.found = append(s.found, journal.LayerSecret{Layer: s.layer, Path: file, What: what})
	}
}
