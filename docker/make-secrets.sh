#!/bin/sh
# Makes the passwords of docker-compose.yml, once: files that are there already stay as they are.
set -eu
umask 022 # each volume is seen only by the services that need it, which run as users of their own

random() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # keep FILE TEXT
  [ -s "$1" ] && return
  printf '%s\n' "$2" >"$1.new"
  mv "$1.new" "$1"
}

photosite=/secrets/photosite
keep "$photosite/redis_password" "$(random)"
password=$(cat "$photosite/redis_password")
keep "$photosite/redis.conf" "requirepass $password"
keep "$photosite/photosite_redis_url" "redis://:$password@redis:6379/0"
keep /secrets/grafana/grafana_password "$(random)"
keep /secrets/minio/minio_user photosite
keep /secrets/minio/minio_password "$(random)"
keep "$photosite/aws_credentials" "[default]
aws_access_key_id = $(cat /secrets/minio/minio_user)
aws_secret_access_key = $(cat /secrets/minio/minio_password)"
