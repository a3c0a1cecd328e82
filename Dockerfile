# An image with the two programs and nothing else: no shell, no libraries.
#
#   docker build -t taciturn .
#
# Without the Internet: `cargo vendor` first, with its output in .cargo/config.toml. It then is part
# of the context.

ARG RUST=1.95
ARG RUST_IMAGE=rust:${RUST}-bookworm
# Where the final image takes its files from: the stage of that name, or another image.
ARG PROGRAMS=build

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# Linked statically, against glibc and the OpenSSL of Debian, whose security fixes a new build takes
# up. --target, so that what runs while building is linked as usual.
# The directory for state is the image's user's, and group 0's: that of root without capabilities, and of
# the users that OpenShift makes up. Another user needs a volume of its own there.
#
# A release pins the base image: docker build --build-arg RUST_IMAGE=rust@sha256:..., with the digest that
# `docker buildx imagetools inspect rust:1.95-bookworm` shows.
RUN set -eu; \
    target="$(rustc -vV | sed -n 's/^host: //p')"; \
    OPENSSL_NO_VENDOR=1 OPENSSL_STATIC=1 RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --release --locked --bins --target "$target"; \
    mkdir -p /image/usr/bin /image/usr/share/doc/taciturn /state; \
    for program in taciturn turnctl; do \
        strip -o "/image/usr/bin/$program" "target/$target/release/$program"; \
    done; \
    cp LICENSE-* /image/usr/share/doc/taciturn/; \
    mkdir -m 0770 /state/taciturn

FROM ${PROGRAMS} AS programs

FROM scratch
LABEL org.opencontainers.image.title="taciturn" \
      org.opencontainers.image.description="A TURN/STUN relay server for WebRTC calls" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=programs /image/ /
COPY --from=programs --chown=65532:0 /state/ /var/lib/
# As systemd names it: the default of state_dir, which a configuration may replace.
ENV STATE_DIRECTORY=/var/lib/taciturn
# Holds the secret that the server makes when none is configured.
VOLUME /var/lib/taciturn
USER 65532:65532
EXPOSE 3478/udp 3478/tcp 5349/tcp 59000-60100/udp
STOPSIGNAL SIGTERM
# Finds the listener as the server does: by TACITURN_CONFIG and the other variables.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/usr/bin/turnctl", "health"]
ENTRYPOINT ["/usr/bin/taciturn"]
