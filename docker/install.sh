#!/bin/sh
# How poolstar is installed, in the image and in the tests that run the image's steps without Docker.
#
#   install.sh dependencies VENV    a new virtual environment with every package, exact versions
#   install.sh wheel FOLDER         poolstar's own wheel, with its data files
#   install.sh package FOLDER VENV  that wheel into that environment, and nothing else
set -eu
cd "$(dirname "$0")/.."

EXTRAS=energy,s3,server

requirements() {
    python3.11 - "$EXTRAS" <<'PYTHON'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = [project["optional-dependencies"][name] for name in sys.argv[1].split(",")]
print("\n".join(sum(extras, project["dependencies"])))
PYTHON
}

case "$1" in
dependencies)
    python3.11 -m venv "$2"
    requirements >"$2/requirements.txt"
    "$2/bin/pip" install --no-cache-dir --constraint constraints.txt --requirement "$2/requirements.txt"
    ;;
wheel)
    python3.11 -m pip wheel --no-cache-dir --no-deps --wheel-dir "$2" .
    ;;
package)
    "$3/bin/pip" install --no-cache-dir --no-index --no-deps "$2"/poolstar-*.whl
    "$3/bin/pip" check
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
