# A stand-in for `prom/prometheus` where no registry can be reached: Debian's.
FROM debian:bookworm-slim
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends prometheus wget >/dev/null \
 && rm -rf /var/lib/apt/lists/* && install -d -o nobody -g nogroup /prometheus
USER nobody
VOLUME /prometheus
