# syntax=docker/dockerfile:1
# A service with one version of a model inside, from the registry of a remote; no repository is needed:
#   docker build -f model.Dockerfile --build-arg MODEL=ocr@v1.0.0 --build-arg REMOTE=s3://bucket/models \
#     --secret id=aws,src=$HOME/.aws/credentials -t ocr:v1.0.0 .
ARG MSTORE_IMAGE=registry.example.com/mstore:0.1.0
ARG SERVICE_IMAGE=debian:bookworm-slim

FROM ${MSTORE_IMAGE} AS model
# A version, not an environment: a layer that was built is taken again as long as these words are the same.
ARG MODEL
ARG REMOTE
# Chunks stay in the cache of the builder, so that the next version brings what is new in it.
RUN --mount=type=cache,id=mstore,target=/var/cache/mstore-store,sharing=locked,uid=65532,gid=65532 \
    --mount=type=secret,id=aws,target=/run/secrets/aws,uid=65532 \
    --mount=type=secret,id=mstore-token,target=/run/secrets/mstore-token,uid=65532 \
    if [ -f /run/secrets/aws ]; then export AWS_SHARED_CREDENTIALS_FILE=/run/secrets/aws; fi && \
    if [ -f /run/secrets/mstore-token ]; then MSTORE_TOKEN=$(cat /run/secrets/mstore-token) && export MSTORE_TOKEN; fi && \
    MSTORE_STORE_PATH=/var/cache/mstore-store mstore pull "$MODEL" --remote "$REMOTE" --to /models/model

FROM ${SERVICE_IMAGE}
COPY --from=model --chown=0:0 /models/model /model
ENV MODEL_DIR=/model
USER 65532:65532
CMD ["ls", "-l", "/model"]
