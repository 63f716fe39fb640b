# A shell for developers on Nix. The wheels of requirements/dev.lock carry binaries for other
# distributions and do not all start on NixOS, so tools and libraries come from nixpkgs here: run
# `pytest`, `ruff check .` and `mypy` themselves instead of `make test`.
{ pkgs }:

let
  agent = pkgs.callPackage ./package.nix { };
  inherit (pkgs) python3Packages;
in
pkgs.mkShell {
  inputsFrom = [ agent ];
  packages = [
    python3Packages.hypothesis
    python3Packages.import-linter
    python3Packages.jsonschema
    python3Packages.mypy
    python3Packages.pytest
    python3Packages.pytest-cov
    python3Packages.pytest-timeout
    python3Packages.pytest-xdist
    pkgs.iproute2
    pkgs.openssh
    pkgs.procps
    pkgs.ruff
    pkgs.strace
    pkgs.util-linux
  ];
}
