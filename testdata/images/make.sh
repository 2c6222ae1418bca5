#!/usr/bin/env bash
# Builds local stand-ins for the images of a trial from what this machine has,
# for machines without a registry:
#   seatrial/postgres:local   PostgreSQL from /usr/lib/postgresql, with the official image's variables
#   seatrial/redis:local      redis-server
#   seatrial/toxiproxy:local  Toxiproxy's own server, from its module
#   seatrial/golang:local     Go with the modules of the reference service, to build its Dockerfile
# A stand-in that is there already is left alone, unless it lacks modules that
# the service needs by now; FORCE=1 builds all anew.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

wanted() { [ -n "${FORCE:-}" ] || ! docker image inspect "$1" >/dev/null 2>&1; }

# place ROOT FILE...: files into a tree, with the libraries that they need.
place() {
  local root=$1 file
  shift
  for file in "$@" $(ldd "$@" 2>/dev/null | grep -o '/[^ )]*' | sed 's/:$//' | sort -u); do
    [ -e "$root$file" ] || { mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"; }
  done
}

# image TAG ROOT: the rest of the Dockerfile comes from standard input. Symbolic
# links at the root (/lib, /bin) are kept as folders.
image() {
  { echo 'FROM scratch'; echo 'COPY root /'; cat; } >"$2/../Dockerfile"
  docker build -q -t "$1" -f "$2/../Dockerfile" "$2/.."
}

if wanted seatrial/postgres:local; then
  bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
  root=$work/postgres/root
  version=$(basename "$(dirname "$bin")")
  mkdir -p "$root"/{tmp,etc,var/lib/postgresql/data,var/run/postgresql,usr/local/bin,usr/share/postgresql,usr/share/zoneinfo,usr/lib/locale}
  chmod 1777 "$root/tmp"
  place "$root" "$bin/postgres" "$bin/initdb" /bin/sh
  lib=$(dirname "$bin")/lib
  for so in "$lib"/*.so; do case $so in *llvmjit*) ;; *) place "$root" "$so" ;; esac; done
  cp -rL "/usr/share/postgresql/$version" "$root/usr/share/postgresql/"
  cp -rL /usr/share/postgresql-common "$root/usr/share/" 2>/dev/null || true
  cp -L /usr/share/zoneinfo/UTC "$root/usr/share/zoneinfo/"
  mkdir -p "$root/usr/share/zoneinfo/Etc" && cp -L /usr/share/zoneinfo/UTC "$root/usr/share/zoneinfo/Etc/"
  cp -rL /usr/lib/locale/C.utf8 "$root/usr/lib/locale/"
  echo 'postgres:x:999:999::/var/lib/postgresql:/bin/sh' >"$root/etc/passwd"
  CGO_ENABLED=0 go build -o "$root/usr/local/bin/entry" ./testdata/images/postgres
  image seatrial/postgres:local "$root" <<EOF
ENV PATH=/usr/local/bin:$bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data TZ=UTC
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["/usr/local/bin/entry"]
CMD ["postgres"]
EOF
fi

if wanted seatrial/redis:local; then
  root=$work/redis/root
  mkdir -p "$root/data"
  place "$root" "$(readlink -f "$(command -v redis-server)")"
  mkdir -p "$root/usr/local/bin"
  mv "$root$(readlink -f "$(command -v redis-server)")" "$root/usr/local/bin/redis-server"
  image seatrial/redis:local "$root" <<EOF
WORKDIR /data
EXPOSE 6379
CMD ["redis-server"]
EOF
fi

if wanted seatrial/toxiproxy:local; then
  root=$work/toxiproxy/root
  mkdir -p "$root"
  CGO_ENABLED=0 go build -o "$root/toxiproxy" github.com/Shopify/toxiproxy/v2/cmd/server
  image seatrial/toxiproxy:local "$root" <<EOF
EXPOSE 8474
ENTRYPOINT ["/toxiproxy"]
CMD ["-host=0.0.0.0"]
EOF
fi

needed() { go list -deps -f '{{with .Module}}{{if not .Main}}{{.Dir}}{{end}}{{end}}' ./testdata/orders/cmd/orders | sort -u; }
modules=$({ cat go.mod go.sum "$(go env GOROOT)/VERSION" && needed; } | sha256sum | cut -c1-12)
made=$(docker image inspect -f '{{index .Config.Labels "seatrial.modules"}}' seatrial/golang:local 2>/dev/null || true)
if [ "$made" != "$modules" ] || wanted seatrial/golang:local; then
  root=$work/golang/root
  go=$(go env GOROOT)
  mods=$(go env GOMODCACHE)
  mkdir -p "$root"/{tmp,root/.cache,etc/ssl/certs,usr/bin,"$go"/bin,"$go"/pkg,"$mods"/cache/download}
  place "$root" /bin/sh "$go/bin/go"
  cp -r "$go/src" "$go/go.env" "$go/VERSION" "$root$go/"
  cp -r "$go/pkg/tool" "$go/pkg/include" "$root$go/pkg/"
  [ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  touch "$root/etc/ssl/certs/ca-certificates.crt"
  # Of the modules: all their go.mod files, and the code that the service needs.
  (cd "$mods/cache/download" && find . \( -name '*.mod' -o -name '*.info' -o -name '*.ziphash' \) -print0 |
    tar -c --null -T -) | tar -x -C "$root$mods/cache/download"
  needed | while read -r dir; do mkdir -p "$root$(dirname "$dir")" && cp -r "$dir" "$root$dir"; done
  # What the build compiles of others, compiled already.
  GOCACHE=$root/root/.cache/go-build CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /dev/null ./testdata/orders/cmd/orders
  image seatrial/golang:local "$root" <<EOF
LABEL seatrial.modules=$modules
ENV PATH=$go/bin:/usr/bin:/bin HOME=/root GOMODCACHE=$mods GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local
EOF
fi
