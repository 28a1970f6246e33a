# Every step is one line that also runs without Docker: tests/repository/test_dockerfile.py runs them all,
# starts the command and asks the health check.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY service service
COPY lua lua
COPY client/demo client/demo
COPY deploy/image deploy/image
RUN sh deploy/image/build.sh /opt/presence

FROM python:3.13-slim-bookworm
COPY --from=build /opt/presence /opt/presence
RUN install -d -m 0700 -o 10001 -g 10001 /data
# embedded:// keeps its data in /data; give PRESENCE_REDIS_URL to use a Redis of your own.
ENV PATH=/opt/presence/bin:$PATH
ENV PYTHONUNBUFFERED=1
ENV PRESENCE_HOST=0.0.0.0
ENV PRESENCE_PORT=8080
ENV PRESENCE_REDIS_URL=embedded:///data
VOLUME /data
EXPOSE 8080
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["python", "/opt/presence/healthcheck.py"]
ENTRYPOINT ["presence"]
CMD ["serve"]
