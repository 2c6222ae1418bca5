package docker

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/process"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// benchTimes is how many of each are measured; the figures are their medians.
const benchTimes = 5

// BenchmarkContainers measures an environment of containers with PostgreSQL,
// Redis, a stub, the agent and two replicas, images there, beside the same in
// processes, and beside plain runs of the same images one after the other, as
// `docker run` does them: PostgreSQL and Redis until they answer, the service's
// migration to its end, each replica until it is ready. What cannot be had for
// less, all at the same time, is the slowest of the servers and then the service:
// its migration and one replica. Plain PostgreSQL initialises its database, as its
// image does, and the environment's has one; so beside it stands what cannot be
// had for less where the plain one has it, too.
func BenchmarkContainers(b *testing.B) {
	backend, s := backend(b), tiny()
	if err := backend.Prepare(b.Context(), s, nil); err != nil {
		b.Fatal(err)
	}
	var up, down, inProcesses, inTurn, least, leastHad []time.Duration
	for range benchTimes * b.N {
		began := time.Now()
		e, err := backend.Start(b.Context(), s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		up = append(up, time.Since(began))
		p := plainRuns(b, e.(*Environment))
		inTurn = append(inTurn, p.postgres+p.redis+p.migration+2*p.replica)
		least = append(least, max(p.postgres, p.redis)+p.migration+p.replica)
		leastHad = append(leastHad, max(p.initialised, p.redis)+p.migration+p.replica)
		b.Logf("up %v; plainly %+v", up[len(up)-1], p)
		began = time.Now()
		if err := e.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		down = append(down, time.Since(began))
		inProcesses = append(inProcesses, processes(b))
	}
	b.ReportMetric(median(up).Seconds(), "s-up")
	b.ReportMetric(median(down).Seconds(), "s-down")
	b.ReportMetric(median(inProcesses).Seconds(), "s-up-in-processes")
	b.ReportMetric(median(inTurn).Seconds(), "s-plain-in-turn")
	b.ReportMetric(median(least).Seconds(), "s-plain-least")
	b.ReportMetric(median(leastHad).Seconds(), "s-plain-least-initialised")
	b.ReportMetric(median(up).Seconds()/median(inTurn).Seconds(), "up/in-turn")
	b.ReportMetric(median(up).Seconds()/median(least).Seconds(), "up/least")
	b.ReportMetric(median(up).Seconds()/median(leastHad).Seconds(), "up/least-initialised")
	b.ReportMetric(0, "ns/op") // the sum of unlike things
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// processes is the time that the process environment takes for the same.
func processes(b *testing.B) time.Duration {
	b.Helper()
	s := tiny()
	backend := &process.Backend{}
	defer backend.Close()
	if err := backend.Prepare(b.Context(), s, nil); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	e, err := backend.Start(b.Context(), s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if err := e.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
	return took
}

// plainTimes are the times of plain runs; initialised is PostgreSQL's where its
// image holds an initialised database.
type plainTimes struct{ postgres, initialised, redis, migration, replica time.Duration }

// plainRuns runs the images of an environment again, beside it and one by one.
func plainRuns(b *testing.B, e *Environment) (p plainTimes) {
	b.Helper()
	for _, s := range e.servers {
		image, ok := pictureOf(s.dependency)
		if !ok {
			continue
		}
		l := leased(b)
		o := order{image: image.name, publish: map[int]int{portOf(s.direct): l.Port}}
		if s.dependency.Kind == subject.Redis {
			o.cmd = []string{"redis-server", "--save", "", "--protected-mode", "no"}
			p.redis = plainRun(b, e, o, func(string) error { return fleet.PingRedis(b.Context(), l.Address()) })
			continue
		}
		p.postgres = plainPostgresRun(b, e, s, image.name, "", l)
		had, err := e.backend.database(b.Context(), s.dependency, nil, false)
		if err != nil {
			b.Fatal(err)
		}
		p.initialised = plainPostgresRun(b, e, s, had.image, dataFolder, leased(b))
	}
	forget(b, e)
	p.migration = plainRun(b, e, ordered(b, e, true), func(id string) error { return ended(b, e, id) })
	l, o := leased(b), ordered(b, e, false)
	o.publish = map[int]int{firstPort: l.Port}
	p.replica = plainRun(b, e, o, func(string) error { return isReady(b, "http://"+l.Address()+"/readyz") })
	return p
}

// plainPostgresRun is that of a server beside another one; data is where it keeps
// its data, if not where its image says.
func plainPostgresRun(
	b *testing.B, e *Environment, beside *server, image, data string, l *ports.Lease,
) time.Duration {
	b.Helper()
	twin := &server{outside: l.Address(), admin: beside.admin}
	twin.Target = beside.Target
	o := order{
		image: image, env: map[string]string{"POSTGRES_PASSWORD": beside.admin},
		publish: map[int]int{portOf(beside.direct): l.Port},
	}
	if data != "" {
		o.env["PGDATA"] = data
	}
	return plainRun(b, e, o, func(string) error {
		c, err := twin.connect(b.Context(), postgres.Superuser, postgres.Superuser)
		if err != nil {
			return err
		}
		return c.Close(b.Context())
	})
}

// forget has the migration find nothing, as in the beginning.
func forget(b *testing.B, e *Environment) {
	b.Helper()
	t, err := e.Target("postgres")
	if err != nil {
		b.Fatal(err)
	}
	c, err := t.(faults.SQL).Admin(b.Context())
	if err == nil {
		_, err = c.Exec(b.Context(), "DROP TABLE orders")
	}
	if err = errors.Join(err, c.Close(b.Context())); err != nil {
		b.Fatal(err)
	}
}

// ordered is the order of the service's migration, or of a replica.
func ordered(b *testing.B, e *Environment, migration bool) order {
	b.Helper()
	scope := e.scope(migration).With(e.replicaValues(9, "plain"))
	o, err := e.order(e.Current(), scope)
	if err == nil && migration {
		o.cmd = []string{"migrate"}
		o.env["OWNER_URL"], err = scope.String("${postgres.owner_url}")
	}
	if err != nil {
		b.Fatal(err)
	}
	return o
}

func leased(b *testing.B) *ports.Lease {
	b.Helper()
	l, err := ports.Acquire()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(l.Release)
	return l
}

// plainRun is the time that a container takes from the word to its work: made and
// started as the docker command does it, in the network of an environment.
func plainRun(b *testing.B, e *Environment, o order, working func(id string) error) time.Duration {
	b.Helper()
	config := &container.Config{Image: o.image, Cmd: o.cmd, Labels: e.labels(), ExposedPorts: network.PortSet{}}
	for _, name := range slices.Sorted(maps.Keys(o.env)) {
		config.Env = append(config.Env, name+"="+o.env[name])
	}
	h := &container.HostConfig{PortBindings: network.PortMap{}, NetworkMode: container.NetworkMode(e.network)}
	for inside, outside := range o.publish {
		port := network.MustParsePort(strconv.Itoa(inside) + "/tcp")
		config.ExposedPorts[port] = struct{}{}
		h.PortBindings[port] = []network.PortBinding{{
			HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: strconv.Itoa(outside),
		}}
	}
	c := e.engine.client
	began := time.Now()
	made, err := c.ContainerCreate(b.Context(), client.ContainerCreateOptions{Config: config, HostConfig: h})
	if err == nil {
		_, err = c.ContainerStart(b.Context(), made.ID, client.ContainerStartOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for err := working(made.ID); err != nil; err = working(made.ID) {
		if time.Since(began) > time.Minute {
			b.Fatalf("%s does not work: %v", o.image, err)
		}
		<-tick.C
	}
	took := time.Since(began)
	if err := e.engine.remove(b.Context(), made.ID); err != nil {
		b.Fatal(err)
	}
	return took
}

// ended waits for a container's end.
func ended(b *testing.B, e *Environment, id string) error {
	b.Helper()
	w := e.engine.client.ContainerWait(b.Context(), id, client.ContainerWaitOptions{
		Condition: container.WaitConditionNotRunning,
	})
	select {
	case end := <-w.Result:
		if end.StatusCode != 0 {
			b.Fatalf("the migration ended with status %d", end.StatusCode)
		}
		return nil
	case err := <-w.Error:
		return err
	}
}

func isReady(b *testing.B, url string) error {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
