// Package report shows a trial to people and to other programs: on a terminal,
// as summary.txt, as JUnit XML and as one self-contained HTML file with a
// scorecard of the production checklist and a timeline of every run. All of it
// is computed from the trial's folder alone, and whatever a service printed is
// data: it is escaped everywhere.
package report
