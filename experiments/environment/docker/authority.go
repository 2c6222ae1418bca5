package docker

import (
	"archive/tar"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path"
	"time"

	"github.com/moby/moby/client"
)

// authority signs certificates for a trial, and is known to nobody else.
type authority struct {
	template *x509.Certificate
	key      *ecdsa.PrivateKey
	text     []byte // its own certificate, as PEM
}

// authorityLife is how long an authority and what it signs are valid.
const authorityLife = 24 * time.Hour

func newAuthority() (*authority, error) {
	now := time.Now()
	a := &authority{template: &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "seatrial authority " + rand.Text()},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	a.text, err = a.sign(a.template, &a.key.PublicKey)
	return a, err
}

func (a *authority) sign(template *x509.Certificate, of *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.template, of, a.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// certify makes a certificate for a server of that name, and its key, as PEM.
func (a *authority) certify(name string) (certificate, key string, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	text, err := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: a.template.NotBefore, NotAfter: a.template.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &own.PublicKey)
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return "", "", err
	}
	return string(text), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// trustedByImage is the file of the authorities that the image trusts, where Go
// finds it, and what is in it; an empty name where it holds none.
func (e *Environment) trustedByImage(ctx context.Context) (file string, content []byte, err error) {
	made, err := e.make(ctx, plain, order{image: e.Current().From}, e.NewLines("image"))
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, made.remove(context.WithoutCancel(ctx))) }()
	for _, name := range bundles {
		file, content, err = made.read(ctx, name)
		if err == nil || !gone(err) {
			return file, content, err
		}
	}
	return "", nil, nil
}

// mostLinks bounds how many links are followed to a file.
const mostLinks = 8

// read reads a file of a container, running or not, and says where it is when
// links have been followed.
func (b *box) read(ctx context.Context, name string) (file string, content []byte, err error) {
	for range mostLinks {
		var to string
		if to, content, err = b.entry(ctx, name); err != nil || to == "" {
			return name, content, err
		}
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(name), to)
		}
		name = to
	}
	return name, nil, fmt.Errorf("read %s of container %.12s: more than %d links", name, b.id, mostLinks)
}

// entry is where a link leads to, or what is in a file.
func (b *box) entry(ctx context.Context, name string) (to string, content []byte, err error) {
	answer, err := b.engine.client.CopyFromContainer(ctx, b.id, client.CopyFromContainerOptions{SourcePath: name})
	if err != nil {
		return "", nil, err
	}
	defer answer.Content.Close()
	in := tar.NewReader(answer.Content)
	h, err := in.Next()
	if err != nil {
		return "", nil, fmt.Errorf("read %s of container %.12s: %w", name, b.id, err)
	}
	if h.Typeflag == tar.TypeSymlink {
		return h.Linkname, nil, nil
	}
	content, err = io.ReadAll(in)
	return "", content, err
}
