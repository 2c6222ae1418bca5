package watcher

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"
)

// Cleaner knows what trials keep outside the processes and files of this
// machine, such as containers, each marked with the trial's scratch folder.
type Cleaner struct {
	// Env names the environment variables by which it finds its way. A watcher has
	// none of seatrial's own, and is told those when the cleaner is put to use.
	Env []string
	// Find lists what is there, whosever it is.
	Find func(context.Context) ([]Leftover, error)
	// Clear removes all that carries the mark of a scratch folder; with an empty
	// one, what is nobody's.
	Clear func(ctx context.Context, scratch string) error
}

var cleaners = map[string]Cleaner{}

// Register names a cleaner, while packages are initialised.
func Register(name string, c Cleaner) struct{} {
	if _, twice := cleaners[name]; twice {
		panic("watcher: cleaner " + name + " is registered twice")
	}
	cleaners[name] = c
	return struct{}{}
}

// Use has the named cleaner called when seatrial dies.
func (w *Watcher) Use(cleaner string) error {
	o := order{Op: "add", Cleaner: cleaner, Env: map[string]string{}}
	for _, name := range cleaners[cleaner].Env {
		if value, set := os.LookupEnv(name); set {
			o.Env[name] = value
		}
	}
	return w.send(o)
}

// clearWithin bounds what a cleaner may take.
const clearWithin = 30 * time.Second

// clean calls the cleaners that are in use.
func (l *list) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), clearWithin)
	defer cancel()
	var err error
	for name, value := range l.env {
		err = joined(err, os.Setenv(name, value))
	}
	for _, name := range slices.Sorted(maps.Keys(l.cleaners)) {
		if c, ok := cleaners[name]; ok {
			err = joined(err, c.Clear(ctx, l.scratch))
		}
	}
	return err
}

// foreign is what all cleaners find of dead trials.
func foreign(ctx context.Context) ([]Leftover, error) {
	var found []Leftover
	for _, name := range slices.Sorted(maps.Keys(cleaners)) {
		all, err := cleaners[name].Find(ctx)
		if err != nil {
			return found, err
		}
		for _, l := range all {
			if l.Nobodys || abandoned(l.Scratch) || vanished(l.Scratch) {
				l.cleaner = name
				found = append(found, l)
			}
		}
	}
	return found, nil
}
