# The service as an image: one static program and nothing else, about 30 MB.
#
#     docker build --tag moue .
#     docker run --read-only --cap-drop ALL --publish 127.0.0.1:8080:8080 moue
#
# `deploy/` has examples with a proxy and for Kubernetes, and a test of the image.

FROM docker.io/library/rust:1.95-alpine AS build
WORKDIR /source
COPY . .
# Alpine's target is linked statically to musl.
RUN cargo rustc --release --locked --package moue-cli --bin moue -- -Cstrip=symbols \
    && mkdir /image \
    && cp target/release/moue LICENSE-MIT LICENSE-APACHE /image/

FROM scratch
LABEL org.opencontainers.image.title="moue" \
      org.opencontainers.image.description="Predicts facial expressions over HTTP" \
      org.opencontainers.image.source="https://github.com/moue-rs/moue" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image/ /
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/moue", "serve", "--check"]
ENTRYPOINT ["/moue"]
CMD ["serve", "--addr", "0.0.0.0:8080", "--log", "json"]
