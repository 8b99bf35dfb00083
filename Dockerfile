# Serves the page on port 7860 as user 1000.
#
#   docker build -t paligemma2-demo .                              for a CPU
#   docker build -t paligemma2-demo --build-arg ACCELERATOR=cuda . for an NVIDIA GPU
#   docker run --gpus all --stop-timeout 30 -p 7860:7860 -v paligemma2-weights:/weights -e HF_TOKEN \
#     -e PALIGEMMA_MODEL=3b paligemma2-demo
#
# For another port set PALIGEMMA_PORT, not --port: it also tells Docker where to ask whether the app is well.
FROM python:3.11-slim-bookworm

# cpu or cuda: which build of PyTorch goes in. The CUDA build brings its own CUDA libraries, so the base is the same.
ARG ACCELERATOR=cpu

# Triton, by which PyTorch makes its kernels for a GPU, compiles a little C for each of them. Debian keeps no earlier
# versions that could be pinned.
# hadolint ignore=DL3008
RUN if [ "$ACCELERATOR" != cpu ]; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends gcc libc6-dev \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && useradd --create-home --uid 1000 app \
    && install --directory --owner=app /app /weights

WORKDIR /app
USER 1000
ENV PATH=/home/app/.local/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/weights \
    PALIGEMMA_HOST=0.0.0.0

COPY --chown=app requirements.txt constraints.txt ./
RUN if [ "$ACCELERATOR" = cpu ]; then \
        pip install --user --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' requirements.txt)"; \
    fi \
    && pip install --user -c constraints.txt -r requirements.txt

COPY --chown=app . .

EXPOSE 7860
VOLUME /weights
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as u; \
        u.build_opener(u.ProxyHandler({})).open( \
            f'http://127.0.0.1:{os.environ.get(\"PALIGEMMA_PORT\", 7860)}/healthz', timeout=4)"]
ENTRYPOINT ["python", "app.py"]
