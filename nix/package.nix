# The agent as a Nix package. Version and licence come from pyproject.toml; the list of dependencies
# stands twice, and tests/architecture/test_nix.py fails when the two differ.
{ lib, python3Packages }:

let
  inherit (lib.importTOML ../pyproject.toml) project;
in
python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  # Named file by file, so that editing a test or a page of documentation rebuilds nothing.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../pyproject.toml
      ../README.md
      ../LICENSE
      ../CHANGELOG.md
      ../central_command
      ../compliance_agent
      ../runbooks
      ../docs/reference/evidence_verify.py
    ];
  };

  build-system = [ python3Packages.hatchling ];

  dependencies = with python3Packages; [
    click
    cryptography
    google-re2
    msgspec
    paramiko
    pyahocorasick
    pydantic
    pywinrm
    pyyaml
    requests
    rich
    structlog
    tuf
    tzdata
  ];

  pythonImportsCheck = [
    "compliance_agent"
    "compliance_agent.cli.main"
    "compliance_agent.app.assemble"
  ];

  meta = {
    inherit (project) description;
    license = lib.licenses.asl20;
    mainProgram = "compliance-agent";
    platforms = lib.platforms.linux;
  };
}
