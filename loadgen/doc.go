// Package loadgen drives open-loop load with vegeta: pacers with due times,
// attacks that count what they could not send, and templated traffic.
package loadgen
