# Prints the benchmarks of `go test -bench` as a table, with the goals
# beside them. A goal is a least value of a benchmark's figure, or where it is
# negative the most.
BEGIN {
	goal["Throughput", "ratio"] = 0.95
	goal["Rate/ours", "achieved/intended"] = 0.999
	goal["WireThroughput", "ratio"] = 0.7
	goal["UpDown", "s-up"] = -1.5
	goal["UpDown", "s-down"] = -0.5
	goal["Containers", "up/least"] = -1.2
	judge = 1000000 # requests a second, of every detector
	line = "%-24s %-18s %9s  %s\n"
	row = "%-24s %12s %9s %6s %8s %8s %8s  %s\n"
}
/^BenchmarkJudge/ {
	name = named()
	delete figure
	for (i = 3; i < NF; i += 2) figure[$(i + 1)] = $i
	if (!judged++) {
		printf "\n" row, "judging 2M requests", "requests/s", "x vegeta", "reads", "MB/500k", "MB/2M", "MB peak", "goal 1000000/s"
	}
	sub(/^Judge\//, "", name)
	vegeta = name ~ /^vegeta/
	rate = figure["requests/s"]
	printf row, name, sprintf("%.0f", rate), vegeta ? "1" : sprintf("%.1f", figure["vegetas"]), \
		vegeta ? "" : figure["reads"] + 0, megabytes("MB-allocated-of-500k"), megabytes("MB-allocated-of-2M"), \
		megabytes("MB-peak-of-2M"), vegeta ? "" : met(rate + 0 >= judge)
	next
}
/^Benchmark/ {
	name = named()
	for (i = 3; i < NF; i += 2) {
		what = $(i + 1)
		if (what == "ns/op" && $i == 0) continue
		said = ""
		if ((name, what) in goal) {
			g = goal[name, what]
			said = g < 0 ? sprintf("at most %g: %s", -g, met($i <= -g)) : sprintf("at least %g: %s", g, met($i + 0 >= g))
		}
		printf line, name == last ? "" : name, what, sprintf(($i >= 1000 ? "%.0f" : "%.4g"), $i), said
		last = name
	}
	next
}
/^(goos|goarch|pkg|cpu): / || /^PASS$/ || /^ok / || /^ok\t/ { next }
{ print } # what went wrong
/^FAIL/ { failed = 1 }
END {
	if (missed) printf "\n%d missed; run it again when nothing else runs on the machine\n", missed
	if (failed) exit 1
}
function named(   n) {
	n = $1
	sub(/^Benchmark/, "", n)
	sub(/-[0-9]+$/, "", n)
	return n
}
function met(yes) {
	if (!yes) missed++
	return yes ? "met" : "MISSED"
}
function megabytes(what) { return (what in figure) ? sprintf("%.1f", figure[what]) : "" }
