# The one image of every Millrace process; docker-compose.yml says which role each plays.
FROM python:3.13.9-slim-bookworm AS build
RUN python -m venv /venv
COPY requirements/run.lock /tmp/run.lock
RUN /venv/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: \
    -r /tmp/run.lock

FROM python:3.13.9-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /app millrace
COPY --from=build /venv /venv
# .dockerignore lets only the program in.
COPY . /app
# A checkout may be its owner's alone. Compiled here, for nothing may be written later, and else every
# start would compile all of it.
RUN chmod -R a+rX /app && python -m compileall -q /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 9464
ENTRYPOINT ["python", "-m", "cli"]
CMD ["--help"]
