# joulesearch on an image that has PyTorch with CUDA already. docs/installing.md says how to build and run it.
#
# BASE names that image by its digest, for instance one of pytorch/pytorch's with torch 2.11 or newer:
#     docker pull IMAGE:TAG && docker image inspect --format '{{index .RepoDigests 0}}' IMAGE:TAG
#     docker build --build-arg BASE=IMAGE@sha256:DIGEST -t joulesearch .
ARG BASE
FROM ${BASE}

# g++ is for torch.compile, git for the commit that every record names.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ git make python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /joulesearch
COPY . .
RUN make PYTHON=python3 TORCH=installed .venv/.installed

# Whoever runs it (docker run --user) must be able to write the report, and to keep what was downloaded.
RUN mkdir -p reports .cache && chmod 1777 reports .cache && git config --system --add safe.directory /joulesearch

ENTRYPOINT ["/joulesearch/.venv/bin/joulesearch"]
CMD ["+study=demo"]
