# One image for the service and for workers; which of the two it is, the command says.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    TUNER_HOME=/var/lib/rectuner

WORKDIR /opt/rectuner
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY model ./model
COPY tuner ./tuner
COPY studies ./studies
RUN pip install -c constraints.txt .

# Checkpoints and data sets live on a volume that the service and all workers share.
RUN useradd --create-home rectuner && install -d -o rectuner /var/lib/rectuner
USER rectuner
VOLUME /var/lib/rectuner
EXPOSE 8000
ENTRYPOINT ["tuner"]
CMD ["serve"]
