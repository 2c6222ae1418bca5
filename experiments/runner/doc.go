// Package runner carries a plan out: it brings the environment up, drives the
// load, carries the method's steps out and takes every one of them back, and
// records all that is seen. It is the only part of an experiment that takes
// time, and it judges nothing but the gate before the first fault.
package runner
