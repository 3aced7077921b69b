#!/usr/bin/env bash
# Do a tag, the package and CITATION.cff name the same version?
# usage: version.sh TAG
set -euo pipefail
tag=${1#v}
package=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
citation=$(sed -n 's/^version: \(.*\)$/\1/p' CITATION.cff)
if [ "$tag" != "$package" ] || [ "$tag" != "$citation" ]; then
    echo "The tag says $tag, pyproject.toml $package and CITATION.cff $citation." >&2
    exit 2
fi
