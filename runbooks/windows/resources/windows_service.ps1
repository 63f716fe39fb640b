# One Windows service. What set finds is kept below the agent's own registry key, under the attempt's id.

function Get-ServiceState {
    param([Parameter(Mandatory)][string]$Name)
    Set-StrictMode -Version 3.0
    $service = @(Get-CimInstance -ClassName Win32_Service | Where-Object -Property Name -EQ -Value $Name)
    if ($service.Count -eq 0) {
        return @{ exists = $false; running = $false; start = 'none' }
    }
    $starts = @{ 'Auto' = 'automatic'; 'Manual' = 'manual'; 'Disabled' = 'disabled' }
    $start = $starts[[string]$service[0].StartMode]
    if ($null -eq $start) {
        $start = 'other'
    }
    return @{ exists = $true; running = [bool]($service[0].State -eq 'Running'); start = [string]$start }
}

function Set-ServiceState {
    param(
        [Parameter(Mandatory)][string]$Name,
        [Parameter(Mandatory)][ValidateSet('running', 'stopped', 'restarted')][string]$State,
        [Parameter(Mandatory)][string]$Attempt
    )
    Set-StrictMode -Version 3.0
    $before = Get-ServiceState -Name $Name
    if (-not $before.exists) {
        throw "there is no service $Name"
    }
    $key = "Registry::HKEY_LOCAL_MACHINE\SOFTWARE\ComplianceAgent\Attempts\$Attempt\Service\$Name"
    if (-not (Test-Path -LiteralPath $key)) {
        [void](New-Item -Path $key -Force)
        [void](New-ItemProperty -LiteralPath $key -Name 'Running' -PropertyType DWord -Value ([int]$before.running))
        [void](New-ItemProperty -LiteralPath $key -Name 'Start' -PropertyType String -Value $before.start)
    }
    if ($State -eq 'restarted') {
        Restart-Service -Name $Name -Force
        return @{ verified = [bool](Get-ServiceState -Name $Name).running }
    }
    if ($State -eq 'running') {
        if ($before.start -ne 'automatic') {
            Set-Service -Name $Name -StartupType Automatic
        }
        Start-Service -Name $Name
        $after = Get-ServiceState -Name $Name
        return @{ verified = [bool]($after.running -and $after.start -eq 'automatic') }
    }
    Stop-Service -Name $Name -Force
    Set-Service -Name $Name -StartupType Disabled
    $after = Get-ServiceState -Name $Name
    return @{ verified = [bool](-not $after.running -and $after.start -eq 'disabled') }
}

function Restore-ServiceState {
    param([Parameter(Mandatory)][string]$Name, [Parameter(Mandatory)][string]$Attempt)
    Set-StrictMode -Version 3.0
    $key = "Registry::HKEY_LOCAL_MACHINE\SOFTWARE\ComplianceAgent\Attempts\$Attempt\Service\$Name"
    if (-not (Test-Path -LiteralPath $key)) {
        return @{ verified = $true }
    }
    $kept = Get-ItemProperty -LiteralPath $key
    if ($kept.Start -ne 'other') {
        Set-Service -Name $Name -StartupType $kept.Start
    }
    if ([int]$kept.Running -eq 1) {
        Start-Service -Name $Name
    } else {
        Stop-Service -Name $Name -Force
    }
    $after = Get-ServiceState -Name $Name
    $good = [bool]($after.start -eq $kept.Start -and [int]$after.running -eq [int]$kept.Running)
    if ($good) {
        Remove-Item -LiteralPath $key -Force
    }
    return @{ verified = $good }
}
