package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func environment(changes map[string]string) Lookup {
	env := map[string]string{
		"ORDERS_DATABASE_URL":       "postgres://u:hunter2@127.0.0.1/orders",
		"ORDERS_OWNER_DATABASE_URL": "postgres://o:hunter2@127.0.0.1/orders",
		"ORDERS_SERVICE_ROLE":       "orders_service",
		"ORDERS_REDIS_ADDR":         "127.0.0.1:6379",
		"ORDERS_PAYMENTS_URL":       "http://127.0.0.1:9000",
		"ORDERS_API_TOKEN":          "hunter2",
	}
	maps.Copy(env, changes)
	return func(name string) (string, bool) {
		value, set := env[name]
		return value, set && value != "unset"
	}
}

func TestServeDefaults(t *testing.T) {
	cfg, err := Serve(environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.RequestTimeout != 2*time.Second || cfg.MaxOpenConns != 10 || cfg.AdminAddr != "127.0.0.1:8081" {
		t.Errorf("defaults: %+v", cfg)
	}
	if s := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(s, "hunter2") {
		t.Errorf("a secret shows in %s", s)
	}
}

func TestNoDrillsInProduction(t *testing.T) {
	for env, allowed := range map[string]bool{"staging": true, "production": false} {
		cfg, err := Serve(environment(map[string]string{"ORDERS_ENVIRONMENT": env, "ORDERS_DRILLS": "on"}))
		if (err == nil) != allowed || !cfg.Drills {
			t.Errorf("%s: %v", env, err)
		}
	}
}

func TestServeNamesAllThatIsWrong(t *testing.T) {
	_, err := Serve(environment(map[string]string{
		"ORDERS_API_TOKEN": "unset", "ORDERS_REDIS_ADDR": "", "ORDERS_PAYMENTS_URL": "gopher://hunter2",
		"ORDERS_DATABASE_URL": "hunter2", "ORDERS_DB_MAX_OPEN": "0", "ORDERS_DRAIN_DELAY": "soon",
		"ORDERS_ENVIRONMENT": "moon", "ORDERS_DB_POOL": "puddle",
	}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{
		"ORDERS_API_TOKEN", "ORDERS_REDIS_ADDR", "ORDERS_PAYMENTS_URL", "ORDERS_DATABASE_URL",
		"ORDERS_DB_MAX_OPEN", "ORDERS_DRAIN_DELAY", "ORDERS_ENVIRONMENT", "ORDERS_DB_POOL",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a value shows in: %v", err)
	}
}

func TestClients(t *testing.T) {
	usual := func(token Secret) Client { return Client{token, usualRate, usualBurst} }
	for text, want := range map[string][]Client{
		"a":           {usual("a")},
		"a,b@20/40,c": {usual("a"), {"b", 20, 40}, usual("c")},
		"":            nil,
		"a,":          nil,
		"a,a":         nil,
		"a@20":        nil,
		"a@0/1":       nil,
		"a@20/many":   nil,
		"@20/40":      nil,
	} {
		cfg, err := Serve(environment(map[string]string{"ORDERS_API_TOKEN": text}))
		if (err == nil) != (want != nil) || !slices.Equal(cfg.Clients, want) {
			t.Errorf("%q: %d clients, %v", text, len(cfg.Clients), err)
		}
	}
}

func TestMigrateAndReconcile(t *testing.T) {
	if _, err := Migrate(environment(nil)); err != nil {
		t.Error(err)
	}
	if _, err := Migrate(environment(map[string]string{"ORDERS_SERVICE_ROLE": "unset"})); err == nil {
		t.Error("migrate without a role: accepted")
	}
	if _, err := Reconcile(environment(nil)); err != nil {
		t.Error(err)
	}
}
