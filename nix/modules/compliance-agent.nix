# The agent as a hardened systemd service; nix/tests/example.nix shows a configuration.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.compliance-agent;
  format = pkgs.formats.yaml { };
  settingsFile = "compliance-agent/settings.yaml";
in
{
  options.services.compliance-agent = {
    enable = lib.mkEnableOption "the compliance agent, which checks and heals the machines named in its settings";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ../package.nix { };
      defaultText = lib.literalExpression "the package of this flake, built with your nixpkgs";
      description = "The agent that runs.";
    };

    settings = lib.mkOption {
      type = lib.types.submodule { freeformType = format.type; };
      default = { };
      description = ''
        The settings file, as the agent's documentation describes it. It lies in the Nix store, which
        everyone on this machine can read: name secrets by path, see {option}`credentials`.
        The running agent takes up a change by itself.
      '';
    };

    credentials = lib.mkOption {
      type = lib.types.attrsOf lib.types.str;
      default = { };
      example = {
        web1-key = "/run/secrets/web1-key";
      };
      description = ''
        Secrets, as name and absolute path. systemd hands each to the agent alone, as
        {file}`/run/credentials/compliance-agent.service/NAME`; that path is what settings name.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.settings ? site_id;
        message = "services.compliance-agent.settings.site_id is missing: set the clinic's short name, such as \"clinic-a\".";
      }
    ]
    ++ lib.mapAttrsToList (name: path: {
      assertion = lib.hasPrefix "/" path && !lib.hasPrefix builtins.storeDir path;
      message = "services.compliance-agent.credentials.${name} is not a secret's path outside the Nix store: set an absolute path such as \"/run/secrets/${name}\".";
    }) cfg.credentials;

    environment.etc.${settingsFile}.source = format.generate "compliance-agent-settings.yaml" cfg.settings;
    environment.systemPackages = [ cfg.package ];

    systemd.services.compliance-agent = {
      description = "Compliance agent";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];

      # A switch must not cut a runbook in half, nor wait for one: the running agent stays until
      # `systemctl restart compliance-agent` or the next boot. Settings it takes up without either.
      restartIfChanged = false;

      serviceConfig = {
        ExecStart = "${lib.getExe cfg.package} run -c /etc/${settingsFile}";
        Restart = "on-failure";
        RestartSec = 10;
        # SIGTERM to the agent alone: it begins nothing new and ends what has begun, verified and
        # recorded. Only what is left after that long is killed, and recorded as interrupted at the next start.
        KillMode = "mixed";
        TimeoutStopSec = "15min";

        LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") cfg.credentials;
        StateDirectory = "compliance-agent";
        StateDirectoryMode = "0700";
        UMask = "0077";

        # No root: checks of this very machine that need it come out as not_assessed, and say so.
        # Other machines are reached over SSH, so the network stays open (out) and nothing else does.
        DynamicUser = true;
        CapabilityBoundingSet = "";
        NoNewPrivileges = true;
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        PrivateDevices = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectSystem = "strict";
        RemoveIPC = true;
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_NETLINK"
          "AF_UNIX"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = [
          "@system-service"
          "~@privileged @resources"
        ];
      };
    };
  };
}
