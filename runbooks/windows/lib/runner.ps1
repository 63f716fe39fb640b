# Runs every step of a bundle in this one process, each within its own time, and reports one line of JSON for each.
# compliance_agent/domain/powershell.py describes what comes in ($Given) and what goes out.
param($Given)

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# Writes one line, in ASCII alone: no code page can change it.
function Write-Report {
    param([hashtable]$Report)
    $json = ConvertTo-Json -InputObject $Report -Compress -Depth 4
    $ascii = New-Object -TypeName System.Text.StringBuilder
    foreach ($character in $json.ToCharArray()) {
        $code = [int]$character
        if ($code -ge 32 -and $code -le 126) {
            [void]$ascii.Append($character)
        } else {
            [void]$ascii.Append(('\u{0:x4}' -f $code))
        }
    }
    if ($ascii.Length -gt $Given.cap) {
        [System.Console]::Out.WriteLine(('{0} {{"step":"{1}","success":false,"error":"reported more than its limit"}}' -f $Given.nonce, $Report['step']))
    } else {
        [System.Console]::Out.WriteLine(('{0} {1}' -f $Given.nonce, $ascii.ToString()))
    }
    [System.Console]::Out.Flush()
}

# Opens a runspace that has the functions of all modules. A step that hangs costs its runspace, no more.
function New-StepRunspace {
    $runspace = [System.Management.Automation.Runspaces.RunspaceFactory]::CreateRunspace()
    $runspace.Open()
    foreach ($module in $Given.modules) {
        $shell = [System.Management.Automation.PowerShell]::Create()
        $shell.Runspace = $runspace
        [void]$shell.AddScript($module, $false)
        [void]$shell.Invoke()
        $shell.Dispose()
    }
    return $runspace
}

# Returns a step's parameters as a table to splat.
function ConvertTo-Table {
    param($Values)
    $table = @{}
    foreach ($property in $Values.PSObject.Properties) {
        $table[$property.Name] = $property.Value
    }
    return $table
}

$identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
$principal = New-Object -TypeName System.Security.Principal.WindowsPrincipal -ArgumentList $identity
$isAdmin = $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
$runspace = New-StepRunspace

foreach ($step in $Given.steps) {
    $good = $false
    if ($step.needs_admin -and -not $isAdmin) {
        Write-Report -Report @{ step = $step.id; success = $false; needs_admin = $true }
    } else {
        $shell = [System.Management.Automation.PowerShell]::Create()
        $shell.Runspace = $runspace
        try {
            [void]$shell.AddScript($step.script, $true)
            [void]$shell.AddParameter('Parameters', (ConvertTo-Table -Values $step.parameters))
            $waiting = $shell.BeginInvoke()
            if ($waiting.AsyncWaitHandle.WaitOne([int]$step.timeout_s * 1000)) {
                $output = @($shell.EndInvoke($waiting))
                if ($output.Count -eq 1 -and $output[0] -is [hashtable]) {
                    $facts = $output[0]
                    $good = $facts.ContainsKey('verified') -and $facts['verified'] -is [bool] -and $facts['verified']
                    Write-Report -Report @{ step = $step.id; success = $true; facts = $facts }
                } else {
                    $count = $output.Count
                    Write-Report -Report @{ step = $step.id; success = $false; error = "reported $count objects, not one table" }
                }
            } else {
                [void]$shell.BeginStop($null, $null)
                $runspace = New-StepRunspace
                Write-Report -Report @{ step = $step.id; success = $false; timed_out = $true }
            }
        } catch {
            $reason = $_.Exception
            while ($null -ne $reason.InnerException) {
                $reason = $reason.InnerException
            }
            Write-Report -Report @{ step = $step.id; success = $false; error = $reason.Message }
        }
    }
    if ($Given.stop -and -not $good) {
        break
    }
}
