# JupyterLab with the course, its notebooks and assignments, for one person or for a hub; torch without
# CUDA (--build-arg TORCH=auto or cu128 for another). docs/on_a_hub.md says how to use it.
FROM python:3.12-slim
ARG TORCH=cpu
RUN useradd --create-home --uid 1000 jovyan
COPY . /opt/vae-course
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend="$TORCH" \
        -e "/opt/vae-course[lab,teach]" jupyterhub \
    && cp -r /opt/vae-course/notebooks /home/jovyan/notebooks \
    && chown -R jovyan /home/jovyan/notebooks
USER jovyan
WORKDIR /home/jovyan
ENV GOMP_SPINCOUNT=30000
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
