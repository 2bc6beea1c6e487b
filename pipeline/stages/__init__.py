"""One file for each DVC stage, same name, each exposing ``run``. Stages meet on disk and never import each other."""
