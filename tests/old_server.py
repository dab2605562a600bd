"""Runs the cache server inside `slapos.core`, in an environment that has flask.

``python old_server.py BLUEPRINT ROOT`` serves the blueprint that the file BLUEPRINT
defines, as the tests of slapos.core do, and prints the port. `incumbents.old_server`
is the other end.
"""

import importlib.util
import os
import sys

from flask import Flask
from werkzeug.serving import make_server


def application(blueprint_file, root):
    spec = importlib.util.spec_from_file_location("shacache_proxy", blueprint_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = Flask("shacache")
    app.config["SHACACHE_CONTENT_DIRECTORY"] = os.path.join(root, "content")
    app.config["SHACACHE_METADATA_DIRECTORY"] = os.path.join(root, "metadata")
    for name in ("content", "metadata"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    app.register_blueprint(module.shacache_proxy_blueprint, url_prefix="/shacache")
    return app


if __name__ == "__main__":
    app = application(*sys.argv[1:])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.port, flush=True)
    server.serve_forever()
