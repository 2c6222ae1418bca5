package subject

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// External reports whether somebody else runs the postgres server.
func (d Dependency) External() bool { return d.Kind == Postgres && d.Address != "" }

// Contained reports whether a tcp dependency runs from its image, which is where
// the subject is tried in containers.
func (d Dependency) Contained(s *Subject) bool {
	return d.Kind == TCP && d.Image != "" && s.Environment == "docker"
}

// external holds a postgres server that runs already against the rules.
func (c checker) external(at string, dep Dependency) {
	if !dep.External() {
		for _, key := range []string{"admin_url", "service_url", "disruptive", "restart"} {
			if c.d.Has(at + "." + key) {
				c.wrong(at+"."+key, "address: host:port beside it, or it to be left out",
					"%s is for a server that runs already", key)
			}
		}
		return
	}
	if _, _, err := net.SplitHostPort(dep.Address); err != nil {
		c.wrong(at+".address", "host:port", "bad address %q", dep.Address)
	}
	if dep.AdminURL == "" {
		c.wrong(at, "admin_url: postgres://user:${env.NAME}@host:port/database", "missing admin_url in %s", at)
	}
	ours := []string{"bin", "database", "user", "durable", "settings", "image"}
	if dep.ServiceURL != "" {
		ours = append(ours, "migrations")
	}
	for _, key := range ours {
		if c.d.Has(at + "." + key) {
			c.wrong(at+"."+key, "it to be left out", "%s cannot be set where %s runs already", key, dep.Name)
		}
	}
	if len(dep.Restart) > 0 && !dep.Disruptive {
		c.wrong(at+".restart", "disruptive: true beside it", "a restart hurts the server's other users")
	}
}

// expandURLs puts the values of ${env.NAME} and ${file.PATH} into the URLs of
// servers that run already, and remembers their passwords.
func (c checker) expandURLs() {
	for i := range c.Dependencies {
		d := &c.Dependencies[i]
		for key, text := range map[string]*string{"admin_url": &d.AdminURL, "service_url": &d.ServiceURL} {
			if *text == "" {
				continue
			}
			at := "dependencies." + d.Name + "." + key
			*text = c.expandSecret(c.d, at, *text)
			if err := c.keepURL(*text); err != nil {
				c.wrong(at, "postgres://user:password@host:port/database", "%v", err)
			}
		}
	}
}

// keepURL remembers the password of a server's URL. The error does not tell
// what is in it.
func (s *Subject) keepURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" || u.User.Username() == "" ||
		strings.Trim(u.Path, "/") == "" {
		return fmt.Errorf("the URL is not understood")
	}
	password, _ := u.User.Password()
	if password == "" {
		password = u.Query().Get("password")
	}
	s.keepSecret(password)
	s.keepSecret(url.QueryEscape(password))
	s.keepCredentials(map[string]string{"": text})
	return nil
}

// Remote says which dependencies are neither on this machine's loopback nor on
// one of the allowed hosts. What runs from an image is left out.
func (s *Subject) Remote(allowed []string) error {
	for _, d := range s.Dependencies {
		if d.Address == "" || d.Contained(s) {
			continue
		}
		for _, address := range append([]string{d.Address}, hosts(d.AdminURL)...) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				host = address
			}
			if !Loopback(host) && !slices.Contains(allowed, host) {
				return fmt.Errorf("%s: %s is not on this machine; give --allow-target %s when you mean it", d.Name, address, host)
			}
		}
	}
	return nil
}

// hosts are those of a server's URL, with their ports.
func hosts(text string) []string {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return nil
	}
	// A URL may name several hosts, and name one in its query.
	return append(strings.Split(u.Host, ","), u.Query()["host"]...)
}

// Loopback says whether a host, without its port, is this machine itself: an
// address of the loopback, its name, or a socket's folder.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback() || strings.HasPrefix(host, "/")
}
