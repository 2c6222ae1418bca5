// Command seatrial takes a Go service on a sea trial: it starts the service for
// real with everything it depends on, puts a proxy before every dependency,
// drives load, breaks things on a timetable, and says which promises held.
//
//	seatrial run                       try everything in the catalogue
//	seatrial run http-slow crash       try these
//	seatrial list                      what can be tried, and what it costs
//	seatrial plan http-slow            what would be done, second by second
//	seatrial validate seatrial.yaml    look for mistakes in files
//	seatrial judge runs/latest         judge a saved trial again
//	seatrial report runs/latest        write its reports again
//	seatrial compare OLD NEW           what has changed between two saved trials
//	seatrial schema subject            the JSON Schema of seatrial.yaml
//	seatrial doctor --reap             check the machine, remove leftovers
//
// It exits with 0 when everything that was tried passed, 1 when a promise was
// broken, 2 when a run was not conclusive, 3 when the trial was interrupted, 4
// when seatrial itself or the environment failed, and 64 for wrong usage or a
// bad file.
package main

import (
	"os"

	"github.com/seatrial/seatrial/experiments/environment/reexec"
)

func main() {
	reexec.Hook()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
