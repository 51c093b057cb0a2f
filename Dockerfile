# igrpo for the CPU (the default) and for CUDA; docs/install.md shows how to run both.
#   docker build -t igrpo .
#   docker build -t igrpo:cuda --target cuda .

FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .


FROM python:3.12-slim AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1
COPY --from=wheel /wheels /wheels
# Any user may write to /cache and /work, so that with --user files belong to whoever ran the container.
RUN useradd --uid 1000 --create-home igrpo && mkdir -m 1777 /cache /work
ENV HOME=/cache \
    HF_HOME=/cache/huggingface \
    IGRPO_CACHE_DIR=/cache/igrpo \
    USER=igrpo
WORKDIR /work
ENTRYPOINT ["igrpo"]
CMD ["--help"]


FROM base AS cuda
# Triton and torch.compile call a C compiler at run time. The driver and its libraries come from the host.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m pip install "$(echo /wheels/igrpo-*.whl)[gguf,gpu,joblib,judge,search,vllm]"
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all
USER 1000:1000


FROM base AS cpu
RUN python -m pip install --extra-index-url https://download.pytorch.org/whl/cpu \
    "$(echo /wheels/igrpo-*.whl)[gguf,joblib,judge,search]"
USER 1000:1000
