# syntax=docker/dockerfile:1
# The same from a repository with pointers: the files of a tag, a branch or a commit. From the top of it:
#   docker build -f repository.Dockerfile --build-arg REVISION=v1 --secret id=aws,src=$HOME/.aws/credentials .
ARG MSTORE_IMAGE=registry.example.com/mstore:0.1.0
ARG SERVICE_IMAGE=debian:bookworm-slim

FROM ${MSTORE_IMAGE} AS model
ARG REVISION=HEAD
ARG MODEL_PATH=models/ocr
WORKDIR /models/repository
# Pointers and the history that REVISION is looked up in: some kilobytes, as the models themselves are ignored.
COPY --chown=65532:65532 .git .git
COPY --chown=65532:65532 .modelstore .modelstore
RUN --mount=type=cache,id=mstore,target=/var/cache/mstore-store,sharing=locked,uid=65532,gid=65532 \
    --mount=type=secret,id=aws,target=/run/secrets/aws,uid=65532 \
    --mount=type=secret,id=mstore-token,target=/run/secrets/mstore-token,uid=65532 \
    if [ -f /run/secrets/aws ]; then export AWS_SHARED_CREDENTIALS_FILE=/run/secrets/aws; fi && \
    if [ -f /run/secrets/mstore-token ]; then MSTORE_TOKEN=$(cat /run/secrets/mstore-token) && export MSTORE_TOKEN; fi && \
    export MSTORE_STORE_PATH=/var/cache/mstore-store && \
    mstore fetch "$REVISION" "$MODEL_PATH" && \
    mstore checkout "$REVISION" "$MODEL_PATH" --to /models/model

FROM ${SERVICE_IMAGE}
COPY --from=model --chown=0:0 /models/model /model
ENV MODEL_DIR=/model
USER 65532:65532
CMD ["ls", "-l", "/model"]
